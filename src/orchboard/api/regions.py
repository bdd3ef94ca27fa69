"""GET /api/regions"""

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.responses import json_answer
from orchboard.leaderboard import Leaderboard
from orchboard.stats import Region


class Regions(Struct, frozen=True):
    """The regions.

    regions -- sorted by type, then GLOBAL first, then name
    """

    regions: tuple[Region, ...]


async def regions(_: Request, board: Leaderboard) -> Response:
    """The regions that results may come from, one entry a job type."""
    return json_answer(Regions(await board.regions()))
