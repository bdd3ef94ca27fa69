"""GET /healthz"""

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.responses import json_now
from orchboard.leaderboard import Leaderboard


class Alive(Struct, frozen=True):
    """State of the process.

    alive -- always true
    """

    alive: bool


async def healthz(_: Request, __: Leaderboard) -> Response:
    """That the process answers; nothing else is asked."""
    return json_now(Alive(True))
