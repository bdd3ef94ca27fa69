"""GET /api/errors"""

from orchboard.answers.cached_query import CachedQuery
from orchboard.api.endpoint import Endpoint
from orchboard.api.examples import EXAMPLE_ENVELOPE, EXAMPLE_TIME, SCOPE_REFUSALS
from orchboard.api.params import Params
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.api.scope_params import SCOPE, parse_scope, scope_max_age_s
from orchboard.leaderboard import Leaderboard
from orchboard.reports.errors import ErrorCode, Errors


def errors(params: Params, board: Leaderboard) -> CachedQuery:
    """The errors of results: which, how often, where."""
    scope = parse_scope(params)

    async def compute() -> bytes:
        from orchboard.analytics.errors import errors as find_errors  # at first use: numpy takes 0.2 s

        return encode_json(await find_errors(board, scope))

    return CachedQuery(("errors", scope), compute, JSON_HEADERS, max_age_s=scope_max_age_s(scope, board))


ERRORS = Endpoint(
    name="errors",
    method="GET",
    path="/api/errors",
    query=errors,
    summary="Errors by code",
    help="Returns the errors of all results in the window, the most frequent first.",
    params=SCOPE,
    asked=("orchestrator",),
    answer=Errors(
        **EXAMPLE_ENVELOPE,
        errors=[ErrorCode("DOWNLOAD", 1, 0.5, 1, EXAMPLE_TIME, EXAMPLE_TIME, "segment 7 timed out")],
    ),
    answer_type=Errors,
    refusals=SCOPE_REFUSALS,
)
