"""GET /api/upkeep"""

import hmac
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from orchboard import limits
from orchboard.api.responses import json_now
from orchboard.errors import BadTokenError
from orchboard.server_state import UpkeepDone
from orchboard.store.maintenance import MaintenanceLoop
from orchboard.store.store import Store


class UpkeepHandler:
    """Runs maintenance tasks for a limited time, for servers without background tasks.

    token -- the required bearer token; empty: the endpoint answers 404
    fetch_documents -- fetches CATALYST_REGION_URL and NAMES_URL
    """

    def __init__(
        self,
        store: Store,
        token: str,
        upkeep: MaintenanceLoop,
        fetch_documents: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._wanted = f"Bearer {token}".encode() if token else b""
        self._upkeep = upkeep
        self._fetch_documents = fetch_documents

    async def __call__(self, request: Request) -> Response:
        """Check the token, work, report. Calls may overlap, also on several servers."""
        if not self._wanted:
            raise HTTPException(404)
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), self._wanted):
            raise BadTokenError
        store = self._store
        worked = await self._upkeep.run_once(limits.MAINTENANCE_CALL_S)
        keys = await store.expire_idempotency_keys(store.clock.now())
        await self._fetch_documents()
        pending = (await store.fetch_rollup_state()).pending
        return json_now(UpkeepDone(worked.is_done, worked.moved, worked.buckets, keys, pending))
