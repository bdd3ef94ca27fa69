"""GET /api/health"""

from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.refusals import RETRY_AFTER, STATUS
from orchboard.api.responses import json_now
from orchboard.errors import DatabaseUnavailableError, SetupError
from orchboard.leaderboard import Leaderboard


async def health(_: Request, board: Leaderboard) -> Response:
    """Whether the database answers, from a real round trip."""
    try:
        await board.store.ping()
    except (DatabaseUnavailableError, SetupError) as error:
        return json_now({"postgres": {"ok": False, "error": str(error)}}, STATUS[type(error)], RETRY_AFTER)
    return json_now({"postgres": {"ok": True}})
