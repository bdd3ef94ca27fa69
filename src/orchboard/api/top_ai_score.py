"""GET /api/top_ai_score"""

from orchboard import limits
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.params import Params
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType
from orchboard.store.change_tracking.version_counters import job_type_key


def top_ai_score(params: Params, board: Leaderboard) -> CachedQuery:
    """The best AI result group of one orchestrator, or of all."""
    orchestrator = params.orchestrator

    async def compute() -> bytes:
        top = await board.top_ai_score(orchestrator)
        return encode_json(top if top is not None else {})

    return CachedQuery(
        ("top_ai_score", orchestrator),
        compute,
        JSON_HEADERS,
        version_keys=(job_type_key(JobType.AI),),
        max_age_s=limits.SLIDING_WINDOW_TTL_S,
    )
