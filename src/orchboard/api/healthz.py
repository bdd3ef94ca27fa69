"""GET /healthz"""

from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.responses import json_now
from orchboard.leaderboard import Leaderboard
from orchboard.server_state import Alive


async def healthz(_: Request, __: Leaderboard) -> Response:
    """That the process answers; nothing else is asked."""
    return json_now(Alive(True))
