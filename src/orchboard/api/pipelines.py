"""GET /api/pipelines"""

from msgspec import Struct

from orchboard.answers.cached_query import CachedQuery
from orchboard.api.params import Params, check_model_has_pipeline, max_age_s
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType, Pipeline
from orchboard.store.change_tracking.version_counters import job_type_key


class Pipelines(Struct, frozen=True):
    """All pipelines with results in the window.

    pipelines -- sorted by name; empty when there are none
    """

    pipelines: tuple[Pipeline, ...]


def pipelines(params: Params, board: Leaderboard) -> CachedQuery:
    """The pipelines with results in the window, with their models and regions."""
    bounds, region = params.bounds, params.region  # an invalid time is reported before a missing model
    check_model_has_pipeline(params)

    async def compute() -> bytes:
        return encode_json(Pipelines(await board.pipelines(board.window(bounds), region)))

    return CachedQuery(
        ("pipelines", bounds, region),
        compute,
        JSON_HEADERS,
        version_keys=(job_type_key(JobType.AI),),
        max_age_s=min(max_age_s(bounds, board), board.pipelines_cache_s),
    )
