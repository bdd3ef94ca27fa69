"""GET /api/regions"""

from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.responses import json_answer
from orchboard.leaderboard import Leaderboard


async def regions(_: Request, board: Leaderboard) -> Response:
    """The regions that results may come from, one entry a job type."""
    return json_answer({"regions": await board.regions()})
