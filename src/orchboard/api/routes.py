"""ROUTES: every endpoint of the API with what is written about it. `openapi.py` and docs/api.md are made from it."""

from typing import Literal

from orchboard import limits
from orchboard.api.aggregated_stats import AggregatedScores, aggregated_stats
from orchboard.api.badge import BADGE, BADGE_JSON
from orchboard.api.chart import CHART
from orchboard.api.compare import COMPARE
from orchboard.api.coverage import COVERAGE
from orchboard.api.endpoint import Endpoint, Param
from orchboard.api.errors import ERRORS
from orchboard.api.examples import (
    BUSY,
    JOB_TYPE,
    MODEL,
    ORCHESTRATOR,
    PIPELINE,
    PIPELINE_ALONE,
    REGION,
    RESULT,
    SCORED,
    SINCE,
    TRANSCODING_RESULT,
    UNAVAILABLE,
    UNTIL,
)
from orchboard.api.export import EXPORT
from orchboard.api.feed import FEED, FEED_OF
from orchboard.api.history import HISTORY
from orchboard.api.leaderboard import LEADERBOARD
from orchboard.api.operator_endpoints import OPERATOR_ENDPOINTS
from orchboard.api.orchestrator import ORCHESTRATOR_PAGE
from orchboard.api.pipelines import Pipelines, pipelines
from orchboard.api.raw_stats import CURSOR, LIMIT, raw_stats
from orchboard.api.refusals import Error
from orchboard.api.regions import Regions, regions
from orchboard.api.stream import STREAM
from orchboard.api.top_ai_score import top_ai_score
from orchboard.api.uptime import UPTIME
from orchboard.errors import (
    BadInputError,
    BodyTooLargeError,
    ClientBusyError,
    DatabaseUnavailableError,
    EncodedBodyError,
    KeyReusedError,
    NotAuthenticatedError,
)
from orchboard.results.parse import SentStats
from orchboard.stats import JobType, Pipeline, Region, Stats, TopScore

ROUTES: tuple[Endpoint, ...] = (
    Endpoint(
        name="post_stats",
        method="POST",
        path="/api/post_stats",
        handler=lambda request, context: context.post_stats(request),
        summary="Store one result",
        help="Stores one signed result of a job tester. The body `ok` means that the result is on disk; no other answer "
        "acknowledges it. A result with both `pipeline` and `model` is an AI result; any other result is a transcoding "
        "result. Members that are not in the schema are stored too. A member that can't be stored becomes `null`, and "
        "`orchboard_dropped` lists its name.",
        params=(
            Param("Authorization", "HMAC-SHA256 of the raw body with the shared secret, as 64 lower-case hex digits. "
                  "Ignored when `webhook-signature` is present.", required=True, place="header"),
            Param("Idempotency-Key", "Makes the POST safe to retry: requests with one key and one body store one result. "
                  f"At most {limits.MAX_IDEMPOTENCY_KEY_CHARACTERS} characters.", "tester-7-job-1042", place="header"),
            Param("webhook-id", "The idempotency key of a request that is signed as Standard Webhooks 1.0 defines, with the "
                  f"two headers below. Such a request can't be replayed. At most {limits.MAX_IDEMPOTENCY_KEY_CHARACTERS} characters.", place="header"),
            Param("webhook-timestamp", f"Unix seconds. At most {limits.SIGNATURE_TOLERANCE_S} s from the server's clock.", place="header"),
            Param("webhook-signature", "`v1,` and the base64 HMAC-SHA256 of `<webhook-id>.<webhook-timestamp>.<body>`. "
                  "Several signatures are separated by spaces; one must be valid.", place="header"),
            Param("Orchboard-Tester", "Name of the tester whose own key signed the request. Leave it out when the shared "
                  "secret signed it.", place="header"),
        ),
        body=SentStats,
        bodies={JobType.AI: RESULT, JobType.TRANSCODING: TRANSCODING_RESULT},
        answer="ok",
        answer_type=Literal["ok"],
        media_type="text/plain",
        refusals={
            BadInputError: Error("invalid region"),
            NotAuthenticatedError: Error("request can not be authenticated"),
            BodyTooLargeError: Error("the body is over 16777216 bytes"),
            EncodedBodyError: Error("Content-Encoding 'gzip' is not supported: send the body uncompressed"),
            KeyReusedError: Error("this Idempotency-Key (or webhook-id) was used for a different body"),
            DatabaseUnavailableError: UNAVAILABLE,
        },
    ),
    Endpoint(
        name="aggregated_stats",
        method="GET",
        path="/api/aggregated_stats",
        query=aggregated_stats,
        summary="Scores by orchestrator and region",
        help="Returns the scores that gateways select orchestrators by. An AI result is scored against the median of its "
        "pipeline and model over all orchestrators. Without `pipeline` and `model`, AI scores are averages over all "
        "models, weighted by number of results. Transcoding scores have two more members, `latency_score` and "
        "`total_score`, which are aliases. The answer contains only orchestrators that are named by an Ethereum address, "
        "unless the server runs with `ORCHESTRATOR_NAMES=any`. It is `{}` when the window holds no results. An answer larger than 1 MiB is "
        "sent in chunks, without `Content-Length`. If the connection is reset before the last chunk, the answer is incomplete.",
        params=(Param("orchestrator", "Ethereum address. Case-insensitive. Applied after scoring.", ORCHESTRATOR), REGION,
                SINCE, UNTIL, PIPELINE, MODEL, JOB_TYPE),
        asked=("pipeline", "model"),
        answer={ORCHESTRATOR: {"FRA": {"success_rate": 1.0, "round_trip_score": 0.8, "score": 0.93}}},
        answer_type=dict[str, dict[str, AggregatedScores]],
        refusals={
            BadInputError: Error("pipeline required"),
            ClientBusyError: BUSY,
            DatabaseUnavailableError: UNAVAILABLE,
        },
    ),
    Endpoint(
        name="raw_stats",
        method="GET",
        path="/api/raw_stats",
        query=raw_stats,
        summary="Stored results of one orchestrator",
        help="Returns every result in the window by region, newest first by receipt time. Each row has every member of the "
        "schema, and all other members that its tester sent. A result whose `test_outcome` begins with `unscored` is not "
        "a verdict on the orchestrator and counts towards no score, even if its numbers are zero. A member that could "
        "not be stored is `null`, and `orchboard_dropped` lists its name. The answer is `{}` when the window holds no "
        "results. An answer larger than 1 MiB is sent in chunks, without `ETag` and `Content-Length`. If the connection "
        "is reset before the last chunk, the answer is incomplete. With `limit` or `cursor`, the answer is a page: the newest results "
        "of all regions together, in the same form. Where the operator keeps no results of a part of the window, the header "
        "`Orchboard-Kept-Since` has the time from which they are kept. The header `Orchboard-Cursor` is the `cursor` of the next page; the last page, "
        "which may be empty, does not have it. A page may have fewer results than `limit`, as it ends after about 1 MiB. The lists of a region in all "
        "pages, joined, are its list in the whole answer.",
        params=(Param("orchestrator", "Ethereum address. Case-insensitive.", ORCHESTRATOR, required=True), REGION, SINCE,
                UNTIL, PIPELINE_ALONE, MODEL, JOB_TYPE, SCORED, LIMIT, CURSOR),
        asked=("orchestrator", "job_type"),
        answer={"FRA": [
            {
                "region": "FRA",
                "orchestrator": ORCHESTRATOR,
                "success_rate": 1.0,
                "round_trip_time": 2.2,
                "errors": [],
                "timestamp": 1727000000,
                "seg_duration": 0.0,
                "segments_sent": 0,
                "segments_received": 0,
                "upload_time": 0.0,
                "download_time": 0.0,
                "transcode_time": 0.0,
                "model": "ByteDance/SDXL-Lightning",
                "model_is_warm": True,
                "pipeline": "Text to image",
                "input_parameters": '{"prompt":"a bear"}',
                "response_payload": '{"images":[]}',
                "prompt_id": "bear-1",
            }
        ]},
        answer_type=dict[str, list[Stats]],
        refusals={
            BadInputError: Error("orchestrator is a required parameter"),
            ClientBusyError: BUSY,
            DatabaseUnavailableError: UNAVAILABLE,
        },
    ),
    Endpoint(
        name="pipelines",
        method="GET",
        path="/api/pipelines",
        query=pipelines,
        summary="AI pipelines and their models",
        help="Returns the pipelines that have results in the window, with their models and regions. All lists are sorted.",
        params=(REGION, SINCE, UNTIL,
                Param("pipeline", "Does not filter. Requires `model`.", "Text to image"),
                Param("model", "Does not filter. Requires `pipeline`.", "ByteDance/SDXL-Lightning")),
        asked=("region",),
        answer=Pipelines((Pipeline("Text to image", ("ByteDance/SDXL-Lightning",), ("FRA",)),)),
        answer_type=Pipelines,
        refusals={
            BadInputError: Error("since must be a number of Unix seconds, not 'yesterday'"),
            ClientBusyError: BUSY,
            DatabaseUnavailableError: UNAVAILABLE,
        },
    ),
    Endpoint(
        name="regions",
        method="GET",
        path="/api/regions",
        query=regions,
        summary="Regions by job type",
        help="Returns all regions, sorted by job type, then `GLOBAL` first, then by name.",
        answer=Regions((
            Region("GLOBAL", "Global", JobType.AI),
            Region("FRA", "Frankfurt", JobType.AI),
            Region("GLOBAL", "Global", JobType.TRANSCODING),
        )),
        answer_type=Regions,
        refusals={DatabaseUnavailableError: UNAVAILABLE},
    ),
    Endpoint(
        name="top_ai_score",
        method="GET",
        path="/api/top_ai_score",
        query=top_ai_score,
        summary="The best AI score",
        help="Returns the best group of AI results (one orchestrator, region, pipeline and model) in the default window: the "
        "group with the highest mean success rate, then the lowest mean round-trip time. The answer is `{}` when there "
        "are no AI results.",
        params=(Param("orchestrator", "Ethereum address. Case-insensitive. Default: all orchestrators.", ORCHESTRATOR),),
        asked=("orchestrator",),
        answer=TopScore("FRA", ORCHESTRATOR, 0.93, "ByteDance/SDXL-Lightning", "Text to image"),
        answer_type=TopScore,
        or_empty=True,
        refusals={
            BadInputError: Error("orchestrator contains the character U+0000"),
            ClientBusyError: BUSY,
            DatabaseUnavailableError: UNAVAILABLE,
        },
    ),
    LEADERBOARD,
    COMPARE,
    ERRORS,
    HISTORY,
    ORCHESTRATOR_PAGE,
    COVERAGE,
    STREAM,
    FEED,
    FEED_OF,
    EXPORT,
    UPTIME,
    BADGE,
    BADGE_JSON,
    CHART,
    *OPERATOR_ENDPOINTS,
)  # fmt: skip
