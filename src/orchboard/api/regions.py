"""GET /api/regions"""

from msgspec import Struct

from orchboard.answers.cached_query import CachedQuery
from orchboard.api.params import Params
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.leaderboard import Leaderboard
from orchboard.stats import Region


class Regions(Struct, frozen=True):
    """All regions.

    regions -- sorted by job type, then `GLOBAL` first, then name
    """

    regions: tuple[Region, ...]


def regions(_: Params, board: Leaderboard) -> CachedQuery:
    """The regions of results, one entry for each job type; while the database is away, as they were read last."""

    async def compute() -> bytes:
        return encode_json(Regions(await board.fetch_regions()))

    def fallback() -> tuple[bytes, float] | None:
        known = board.last_known_regions()
        return known and (encode_json(Regions(known[0])), known[1])

    return CachedQuery(("regions",), compute, JSON_HEADERS, version_keys=(), fallback=fallback)
