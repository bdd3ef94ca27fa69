"""GET /api/regions"""

from msgspec import Struct

from orchboard.answers.question import Question
from orchboard.api.params import Params
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.leaderboard import Leaderboard
from orchboard.stats import Region

# They come from memory, which has its own age.
_MAX_AGE_S = 1.0


class Regions(Struct, frozen=True):
    """The regions.

    regions -- sorted by type, then GLOBAL first, then name
    """

    regions: tuple[Region, ...]


def regions(_: Params, board: Leaderboard) -> Question:
    """The regions that results may come from, one entry a job type."""

    async def compute() -> bytes:
        return encode_json(Regions(await board.regions()))

    return Question(("regions",), compute, JSON_HEADERS, max_age_s=_MAX_AGE_S, is_stored=False)
