"""GET /api/raw_stats"""

from msgspec.structs import replace

from orchboard.answers.answer import Pieces
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.params import Params, max_age_s, parse_stats_query
from orchboard.api.responses import JSON_HEADERS
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.store.change_tracking.version_counters import orchestrator_key


def raw_stats(params: Params, board: Leaderboard) -> CachedQuery:
    """Every stored result of one orchestrator in the window, by region, newest first."""
    if params.orchestrator is None:
        raise BadInputError("orchestrator is a required parameter")
    asked = replace(parse_stats_query(params, pipeline_alone=True), scored=params.flag("scored"))

    async def compute() -> bytes | Pieces:
        return await board.raw_stats(asked.query(board))

    return CachedQuery(
        ("raw_stats", asked),
        compute,
        JSON_HEADERS,
        version_keys=(orchestrator_key(params.orchestrator),),
        max_age_s=max_age_s(asked.bounds, board),
    )
