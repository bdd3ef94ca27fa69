"""GET /api/leaderboard"""

import math

from msgspec.structs import replace

from orchboard import limits
from orchboard.analytics.ranking_query import SORTS, RankingQuery
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.endpoint import Endpoint, Param
from orchboard.api.examples import EXAMPLE_ENVELOPE, EXAMPLE_TIME, ORCHESTRATOR, SCOPE_REFUSALS
from orchboard.api.params import Params
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.api.scope_params import (
    SCOPE,
    one_of,
    parse_scope,
    ranking_params,
    scope_max_age_s,
    whole_number,
)
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.reports.leaderboard import Estimate, Ranking, RegionScore, RoundTrips, Standing
from orchboard.stats import JobType

_DEFAULT_LIMIT = 100
_MAX_MIN_RESULTS = 10**9
_ORDERS = ("asc", "desc")

RANKING = (
    Param("min_results", "Minimum number of scored results: orchestrators with fewer are neither listed nor ranked. Default: 0.", "10"),
    Param("search", "Lists only orchestrators whose address begins with this text, with or without `0x`; of other names, those "
          "and of those given by the operator, that contain it. Case-insensitive. Ranks stay those among all.", "0x22a4"),
    Param("sort", f"One of {', '.join(f'`{name}`' for name in SORTS)}. Default: `rank`. Orchestrators without the number come "
          "last, equal ones by address.", "p50"),
    Param("order", "`asc` or `desc`. Default: the best first, and `orchestrator` ascending.", "asc"),
    Param("limit", f"Maximum number of orchestrators on a page, 1 to {limits.MAX_PAGE_ROWS}. Default: {_DEFAULT_LIMIT}.", "10"),
    Param("cursor", "`next_cursor` of the previous page. All parameters except `limit` must be those of the previous page. The "
          "cursor fixes the end of the window, so that new results move no row to another page."),
)  # fmt: skip


def leaderboard(params: Params, board: Leaderboard) -> CachedQuery:
    """Orchestrators by rank."""
    query = parse_ranking(params)

    async def compute() -> bytes:
        from orchboard.analytics.leaderboard import leaderboard as rank  # at first use: numpy takes 0.2 s

        return encode_json(await rank(board, query))

    max_age_s = math.inf if query.page else scope_max_age_s(query.scope, board)
    return CachedQuery(
        ("leaderboard", query),
        compute,
        JSON_HEADERS,
        max_age_s=max_age_s,
        repeated_s=board.reports_cache_s,
    )


def parse_ranking(params: Params) -> RankingQuery:
    """The parsed request. Raises BadInputError."""
    scope = parse_scope(params, others=[param.name for param in RANKING], job_type=JobType.TRANSCODING)
    sort = one_of(params, "sort", list(SORTS), "rank")
    order = one_of(params, "order", _ORDERS, _ORDERS[SORTS[sort]])
    query = RankingQuery(
        scope=scope,
        min_results=whole_number(params, "min_results", 0, least=0, most=_MAX_MIN_RESULTS),
        search=_search(params),
        sort=sort,
        descending=order == "desc",
        limit=whole_number(params, "limit", _DEFAULT_LIMIT, least=1, most=limits.MAX_PAGE_ROWS),
    )
    cursor = params.get("cursor")
    if len(cursor) > limits.MAX_CURSOR_CHARACTERS:
        raise BadInputError(f"cursor is longer than {limits.MAX_CURSOR_CHARACTERS} characters")
    return replace(query, page=query.parse_cursor(cursor)) if cursor else query


def _search(params: Params) -> str:
    text = params.get("search").lower()
    if len(text) > limits.MAX_SEARCH_CHARACTERS:
        raise BadInputError(f"search is longer than {limits.MAX_SEARCH_CHARACTERS} characters")
    return text


EXAMPLE_STANDING = Standing(
    orchestrator=ORCHESTRATOR,
    rank=1,
    rank_low=1,
    rank_high=1,
    score=Estimate(0.93, 0.0, 1.0),
    round_trip_score=0.8,
    success_rate=Estimate(1.0, 0.206549314, 1.0),
    full_success=Estimate(1.0, 0.206549314, 1.0),
    round_trip=RoundTrips(2.2, 2.2, 2.2),
    results=1,
    regions=1,
    best=RegionScore("FRA", 0.93),
    worst=RegionScore("FRA", 0.93),
    last_tested_at=EXAMPLE_TIME,
    sparkline=[*[None] * 24, 0.93],
)

LEADERBOARD = Endpoint(
    name="leaderboard",
    method="GET",
    path="/api/leaderboard",
    query=leaderboard,
    summary="Orchestrators by rank",
    help="Returns orchestrators ranked by score, with 95 % intervals and the ranks that are possible given them. Without "
    "`region`, or with `GLOBAL`, scores are the means over regions with equal weights. Without `pipeline`, `model` and "
    "`job_type`, the results are transcoding results; AI results of all models are `job_type=ai`. Scores equal those of "
    "`/api/aggregated_stats`. An orchestrator with unscored results only comes last, without rank and score. The answer "
    "contains only orchestrators that are named by an Ethereum address, unless the server runs with "
    "`ORCHESTRATOR_NAMES=any`.",
    params=(*ranking_params(SCOPE), *RANKING),
    asked=("pipeline", "model"),
    answer=Ranking(
        **{**EXAMPLE_ENVELOPE, "results": 1},
        job_type=JobType.AI,
        ranked=1,
        matches=1,
        buckets=[EXAMPLE_TIME] * 25,
        orchestrators=[EXAMPLE_STANDING],
        next_cursor=None,
    ),
    answer_type=Ranking,
    refusals=SCOPE_REFUSALS,
)
