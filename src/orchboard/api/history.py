"""GET /api/history"""

from typing import cast

from msgspec.structs import replace

from orchboard.analytics.buckets import BUCKET_SIZES, parse_zone
from orchboard.analytics.history_request import (
    DEFAULT_POINTS,
    MAX_LINES,
    MAX_ORCHESTRATORS,
    MAX_POINTS,
    HistoryRequest,
)
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.endpoint import Endpoint, Param
from orchboard.api.examples import EXAMPLE_ENVELOPE, EXAMPLE_TIME, ORCHESTRATOR, SCOPE_REFUSALS
from orchboard.api.params import Params
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.api.scope_params import SCOPE, listed, one_of, parse_scope, scope_max_age_s, whole_number
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.reports.envelope import AnswerWindow
from orchboard.reports.history import BucketSize, History, HistoryLine, HistoryPoint, LineKind
from orchboard.stats import JobType

_BY = ("region", "pipeline", "model", "tester")

TZ = Param("tz", "IANA name of the time zone in which days begin. Default: `UTC`.", "Europe/Berlin")
_ORCHESTRATORS = Param(
    "orchestrator",
    f"Ethereum address, or up to {MAX_ORCHESTRATORS} of them, separated by commas: a line for each. Case-insensitive. Default: "
    "all orchestrators, pooled.",
    ORCHESTRATOR,
)
_PARAMS = (
    *(_ORCHESTRATORS if param.name == "orchestrator" else param for param in SCOPE),
    Param("by", f"A line for each {', '.join(f'`{name}`' for name in _BY)}, at most {MAX_LINES}: those with the most results. "
          "`pipeline` and `model` select AI results unless `job_type` is given. Not with several orchestrators.", "region"),
    Param("bucket", f"The size of the buckets: {', '.join(f'`{name}`' for name in BUCKET_SIZES)}. Default: the smallest that "
          "gives at most `points`.", "30d"),
    Param("points", f"The largest number of points of a line if there is no `bucket`, up to {MAX_POINTS}. Default: "
          f"{DEFAULT_POINTS}. Windows longer than that many times 30 days have more.", "30"),
    TZ,
)  # fmt: skip


def history(params: Params, board: Leaderboard) -> CachedQuery:
    """Scores, success rates and round trips over time."""
    request = parse_history(params)

    async def compute() -> bytes:
        from orchboard.analytics.history import history as find_history  # at first use: numpy takes 0.2 s

        return encode_json(await find_history(board, request))

    return CachedQuery(
        ("history", request),
        compute,
        JSON_HEADERS,
        max_age_s=scope_max_age_s(request.scope, board),
        repeated_s=board.reports_cache_s,
    )


def parse_history(params: Params) -> HistoryRequest:
    """The request of a history. Raises BadInputError."""
    scope = parse_scope(params, others=("by", "bucket", "points", "tz"))
    orchestrators = _parse_orchestrators(params)
    by = one_of(params, "by", _BY) if params.get("by") else ""
    if by and len(orchestrators) > 1:
        raise BadInputError("by can't be combined with several orchestrators")
    query = replace(scope.query, orchestrators=frozenset(orchestrators) or None)
    if by in ("pipeline", "model") and query.job_type is None:
        query = replace(query, job_type=JobType.AI)
    bucket = one_of(params, "bucket", BUCKET_SIZES) if params.get("bucket") else None
    zone = params.get("tz") or "UTC"
    parse_zone(zone)
    return HistoryRequest(
        replace(scope, query=query),
        orchestrators,
        cast("LineKind", by or ("orchestrator" if orchestrators else "network")),
        cast("BucketSize | None", bucket),
        whole_number(params, "points", DEFAULT_POINTS, least=1, most=MAX_POINTS),
        zone,
    )


def _parse_orchestrators(params: Params) -> tuple[str, ...]:
    """The addresses of a list. Raises BadInputError if they are too many."""
    found = tuple(dict.fromkeys(name.lower() for name in listed(params, "orchestrator")))
    if len(found) > MAX_ORCHESTRATORS:
        raise BadInputError(f"orchestrator must be at most {MAX_ORCHESTRATORS} addresses, not {len(found)}")
    return found


_EXAMPLE_POINT = HistoryPoint(
    since=EXAMPLE_TIME,
    until=EXAMPLE_TIME,
    is_partial=True,
    results=2,
    unscored=0,
    score=0.649100715,
    success_rate=0.75,
    p50=2.2,
    p75=2.2,
    p90=2.2,
    p99=2.2,
)

HISTORY = Endpoint(
    name="history",
    method="GET",
    path="/api/history",
    query=history,
    summary="Scores and round trips over time",
    help="Returns a point for each bucket of the window, for one orchestrator, for several, or for the network: then all results "
    "are pooled, those of names that are not addresses included, and the score is that of the network as if it were one "
    "orchestrator. A score is computed as for the leaderboard, from the results of its bucket: AI results against the medians "
    "of the bucket, a mean over models weighted by results in each region, and the mean over regions; regions of both job "
    "types count if no `job_type` is given. Quantiles are exact. In a bucket without scored results all numbers but the counts are null. "
    "Buckets of a day begin at midnight in `tz`, buckets of 7 days on Mondays. Buckets of 30 days are counted from 1 January of "
    "year 1, whatever the window. The first and the last bucket may be partial. A window of more than a year begins at the first "
    "result. Where results are not kept, bounds of buckets are rounded down to six hours or days in UTC, and shorter buckets are "
    "joined: `since` and `until` of each point are the bounds that were used.",
    params=_PARAMS,
    asked=("orchestrator", "since", "bucket"),
    answer=History(
        **{**EXAMPLE_ENVELOPE, "window": AnswerWindow(None, EXAMPLE_TIME, EXAMPLE_TIME)},
        bucket="30d",
        tz="UTC",
        by="orchestrator",
        lines=[HistoryLine(name=ORCHESTRATOR, results=2, unscored=0, points=[_EXAMPLE_POINT])],
        lines_left_out=0,
    ),
    answer_type=History,
    refusals=SCOPE_REFUSALS,
)
