"""GET /api/orchestrators/{address}"""

from orchboard import limits
from orchboard.analytics.recent_request import RecentRequest
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.endpoint import Endpoint, Param
from orchboard.api.examples import ORCHESTRATOR, SCOPE_REFUSALS
from orchboard.api.orchestrator_example import EXAMPLE
from orchboard.api.params import Params
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.api.scope_params import SCOPE_WITHOUT_ORCHESTRATOR, parse_scope_of, whole_number
from orchboard.leaderboard import Leaderboard
from orchboard.reports.orchestrator import Orchestrator

MAX_RECENT = 100


def orchestrator(params: Params, board: Leaderboard) -> CachedQuery:
    """Everything about one orchestrator."""
    address = params.in_path("address").lower()
    scope = parse_scope_of(frozenset([address]), params, others=["recent", "payload"])
    recent = RecentRequest(
        whole_number(params, "recent", RecentRequest().number, least=0, most=MAX_RECENT),
        with_payload=params.flag("payload") is True,
    )

    async def compute() -> bytes:
        from orchboard.analytics.orchestrator import (
            orchestrator as describe,  # at first use: numpy takes 0.2 s
        )

        return encode_json(await describe(board, address, scope, recent))

    # Also with a fixed window: the numbers of uptime end now.
    return CachedQuery(
        ("orchestrator", scope, recent),
        compute,
        JSON_HEADERS,
        max_age_s=limits.SLIDING_WINDOW_TTL_S,
        repeated_s=board.reports_cache_s,
    )


ORCHESTRATOR_PAGE = Endpoint(
    name="orchestrator",
    method="GET",
    path="/api/orchestrators/{address}",
    query=orchestrator,
    summary="Everything about one orchestrator",
    help="Returns its scores by region and by pipeline and model, with 95 % intervals; why its score is what it is, and what the "
    "score would be if one region, model or error code were fixed; uptime, errors, who tested it last, and its last results. An "
    "orchestrator that was never tested has `status` `never`, and `testing` lists the regions that are testing any orchestrator.",
    params=(
        Param("address", "Ethereum address. Case-insensitive.", ORCHESTRATOR, required=True, place="path"),
        *SCOPE_WITHOUT_ORCHESTRATOR,
        Param(
            "recent",
            f"The number of last results, 0 to {MAX_RECENT}. Default: {RecentRequest().number}.",
            "1",
        ),
        Param("payload", "`true`: with the stored JSON of the last results.", "true"),
    ),
    asked=("recent",),
    answer=EXAMPLE,
    answer_type=Orchestrator,
    refusals=SCOPE_REFUSALS,
)
