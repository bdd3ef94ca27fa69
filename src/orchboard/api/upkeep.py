"""GET /api/upkeep"""

import hmac
from collections.abc import Awaitable, Callable

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.responses import json_now
from orchboard.errors import BadTokenError
from orchboard.store.maintenance import Upkeep
from orchboard.store.store import Store

# How long a call may work. The function of vercel.json has 60 s, and the last step may take another 20 s.
LIMIT_S = 20.0


class UpkeepDone(Struct, frozen=True):
    """The work that one call did.

    done -- false: more work is left for the next call
    moved -- number of results moved into orchboard's table, after a database was taken over
    spans -- number of rollup buckets that were checked or built
    keys -- number of expired idempotency keys that were deleted
    pending -- number of invalidations that are not applied to the rollups yet
    """

    done: bool
    moved: int
    spans: int
    keys: int
    pending: int


class UpkeepHandler:
    """Runs maintenance tasks for a limited time, for servers without background tasks.

    token -- the required bearer token; empty: the endpoint answers 404
    add_regions -- adds the regions of CATALYST_REGION_URL
    """

    def __init__(
        self, store: Store, token: str, upkeep: Upkeep, add_regions: Callable[[], Awaitable[None]]
    ) -> None:
        self._store = store
        self._wanted = f"Bearer {token}".encode() if token else b""
        self._upkeep = upkeep
        self._add_regions = add_regions

    async def __call__(self, request: Request) -> Response:
        """Check the token, work, report. Calls may overlap, also on several servers."""
        if not self._wanted:
            raise HTTPException(404)
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), self._wanted):
            raise BadTokenError
        store = self._store
        worked = await self._upkeep.run_once(LIMIT_S)
        keys = await store.expire_idempotency_keys(store.clock.now())
        await self._add_regions()
        pending = (await store.fetch_rollup_state()).pending
        return json_now(UpkeepDone(worked.is_done, worked.moved, worked.spans, keys, pending))
