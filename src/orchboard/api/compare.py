"""GET /api/compare"""

from orchboard import limits
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.endpoint import Endpoint, Param
from orchboard.api.examples import EXAMPLE_ENVELOPE, ORCHESTRATOR, SCOPE_REFUSALS
from orchboard.api.leaderboard import EXAMPLE_STANDING
from orchboard.api.params import Params
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.api.scope_params import (
    SCOPE_WITHOUT_ORCHESTRATOR,
    listed,
    parse_scope_of,
    ranking_params,
    scope_max_age_s,
)
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.reports.compare import Comparison, RegionComparison, RegionStanding
from orchboard.reports.leaderboard import Estimate, Standing
from orchboard.stats import JobType

_OTHER = "0x" + 40 * "0"

ORCHESTRATORS = Param(
    "orchestrators",
    f"2 to {limits.MAX_COMPARED} different Ethereum addresses, separated by commas. Case-insensitive.",
    f"{ORCHESTRATOR},{_OTHER}",
    required=True,
)


def compare(params: Params, board: Leaderboard) -> CachedQuery:
    """Orchestrators side by side."""
    # Ranks are among all orchestrators: none of them is a filter.
    scope = parse_scope_of(None, params, others=[ORCHESTRATORS.name], job_type=JobType.TRANSCODING)
    orchestrators = _orchestrators(params)

    async def compute() -> bytes:
        from orchboard.analytics.compare import compare as side_by_side  # at first use: numpy takes 0.2 s

        return encode_json(await side_by_side(board, scope, orchestrators))

    key = "compare", scope, orchestrators
    return CachedQuery(
        key,
        compute,
        JSON_HEADERS,
        max_age_s=scope_max_age_s(scope, board),
        repeated_s=board.reports_cache_s,
    )


def _orchestrators(params: Params) -> tuple[str, ...]:
    distinct = tuple(dict.fromkeys(name.lower() for name in listed(params, ORCHESTRATORS.name)))
    if not 2 <= len(distinct) <= limits.MAX_COMPARED:
        raise BadInputError(
            f"orchestrators must be 2 to {limits.MAX_COMPARED} different addresses, separated by commas, not {len(distinct)}"
        )
    return distinct


COMPARE = Endpoint(
    name="compare",
    method="GET",
    path="/api/compare",
    query=compare,
    summary="Orchestrators side by side",
    help="Returns the leaderboard's numbers of some orchestrators, ranked among all, their scores by region, and for each pair "
    "whether the difference between the scores is beyond chance: whether its 95 % interval excludes 0. An orchestrator "
    "that was not tested in the window has 0 results.",
    params=(ORCHESTRATORS, *ranking_params(SCOPE_WITHOUT_ORCHESTRATOR)),
    asked=("orchestrators", "pipeline", "model"),
    answer=Comparison(
        **{**EXAMPLE_ENVELOPE, "results": 1},
        job_type=JobType.AI,
        ranked=1,
        orchestrators=[EXAMPLE_STANDING, Standing(orchestrator=_OTHER, sparkline=[None] * 25)],
        regions=[
            RegionComparison(
                "FRA",
                [RegionStanding(Estimate(0.93, 0.0, 1.0), Estimate(1.0, 0.206549314, 1.0), 0.8, 1), None],
            )
        ],
        differences=[],
    ),
    answer_type=Comparison,
    refusals=SCOPE_REFUSALS,
)
