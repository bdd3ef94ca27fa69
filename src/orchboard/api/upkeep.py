"""GET /api/upkeep"""

import hmac
from collections.abc import Awaitable, Callable

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.responses import json_now
from orchboard.errors import BadTokenError
from orchboard.leaderboard import Leaderboard
from orchboard.store.maintenance import Upkeep

# How long a call may work. The function of vercel.json has 60 s, and a single step may take as long again.
LIMIT_S = 20.0


class UpkeepDone(Struct, frozen=True):
    """What one call did.

    done -- false: there is more to do, for the next call
    moved -- results of a database that was taken over, moved to where their numbers have columns
    spans -- spans of rollups that were looked at or built
    keys -- idempotency keys that expired
    pending -- changes of results that are not applied to the rollups yet
    """

    done: bool
    moved: int
    spans: int
    keys: int
    pending: int


class KeepUp:
    """Does a bounded part of the upkeep that a server without background tasks leaves to a scheduler.

    token -- the bearer token that a caller must send; empty: the path is not found
    add_regions -- adds those of CATALYST_REGION_URL
    """

    def __init__(self, token: str, upkeep: Upkeep, add_regions: Callable[[], Awaitable[None]]) -> None:
        self._wanted = f"Bearer {token}".encode() if token else b""
        self._upkeep = upkeep
        self._add_regions = add_regions

    async def __call__(self, request: Request, board: Leaderboard) -> Response:
        """Check the token, work, tell. Any number of calls and servers may do so at once."""
        if not self._wanted:
            raise HTTPException(404)
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), self._wanted):
            raise BadTokenError
        store = board.store
        worked = await self._upkeep.run_once(LIMIT_S)
        keys = await store.expire_idempotency_keys(store.clock.now())
        await self._add_regions()
        pending = (await store.fetch_rollup_state()).pending
        return json_now(UpkeepDone(worked.is_done, worked.moved, worked.spans, keys, pending))
