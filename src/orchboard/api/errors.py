"""GET /api/errors"""

from orchboard.analytics.history_request import DEFAULT_POINTS, MAX_POINTS
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.endpoint import Endpoint, Param
from orchboard.api.examples import EXAMPLE_ENVELOPE, EXAMPLE_TIME, SCOPE_REFUSALS
from orchboard.api.params import Params
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.api.scope_params import SCOPE, one_of, parse_scope, scope_max_age_s, whole_number
from orchboard.leaderboard import Leaderboard
from orchboard.reports.errors import ErrorCode, ErrorGroup, Errors

BY = ("code", "region", "pipeline", "model", "tester")


def errors(params: Params, board: Leaderboard) -> CachedQuery:
    """The errors of results: which, how often, where."""
    scope = parse_scope(params, others=["by", "points"])
    by = one_of(params, "by", BY) if params.get("by") else None

    points = None
    if params.get("points"):
        points = whole_number(params, "points", DEFAULT_POINTS, least=1, most=MAX_POINTS)

    async def compute() -> bytes:
        from orchboard.analytics.errors import errors as find_errors  # at first use: numpy takes 0.2 s

        return encode_json(await find_errors(board, scope, by, points))

    return CachedQuery(
        ("errors", scope, by, points),
        compute,
        JSON_HEADERS,
        max_age_s=scope_max_age_s(scope, board),
        repeated_s=board.reports_cache_s,
    )


_MESSAGE = "segment 7 timed out"


def _example(name: str, tested: int = 1) -> ErrorGroup:
    times = EXAMPLE_TIME, EXAMPLE_TIME
    return ErrorGroup(name, "", tested, 1, 1.0, 1 / tested, 1, *times, "DOWNLOAD", _MESSAGE)


ERRORS = Endpoint(
    name="errors",
    method="GET",
    path="/api/errors",
    query=errors,
    summary="Errors by code, region, pipeline, model and tester",
    help="Returns the errors of all results in the window, scored or not: by code, and the errors of each region, pipeline, model "
    "and tester that has any. Each list has the most frequent first.",
    params=(
        *SCOPE,
        Param(
            "by",
            f"Only one list: {', '.join(f'`{name}`' for name in BY)}. The others are null. Default: all.",
            "region",
        ),
        Param(
            "points",
            f"Also count each code in buckets: the largest number of them, up to {MAX_POINTS}.",
            "30",
        ),
    ),
    asked=("orchestrator",),
    answer=Errors(
        **EXAMPLE_ENVELOPE,
        errors=[ErrorCode("DOWNLOAD", 1, 0.5, 1, EXAMPLE_TIME, EXAMPLE_TIME, _MESSAGE)],
        regions=[_example("MDW")],
        pipelines=[_example("")],
        models=[_example("")],
        testers=[_example("", tested=2)],
    ),
    answer_type=Errors,
    refusals=SCOPE_REFUSALS,
)
