"""ROUTES: every endpoint of the API with what is written about it. `openapi.py` and docs/api.md are made from it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from orchboard.api.aggregated_stats import Cell, aggregated_stats
from orchboard.api.authenticator import MAX_KEY
from orchboard.api.endpoint import Asker, Endpoint, Handler, Param
from orchboard.api.health import DatabaseHealth, Health, health
from orchboard.api.healthz import Alive, healthz
from orchboard.api.metrics import exposition, metrics, samples_of
from orchboard.api.pipelines import Pipelines, pipelines
from orchboard.api.post_stats import PostStats
from orchboard.api.raw_stats import raw_stats
from orchboard.api.readyz import CHECKS, CheckResult, Readiness, readyz
from orchboard.api.refusals import Error
from orchboard.api.regions import Regions, regions
from orchboard.api.top_ai_score import top_ai_score
from orchboard.api.upkeep import KeepUp, UpkeepDone
from orchboard.errors import (
    BadInputError,
    BadTokenError,
    BodyTooLargeError,
    ClientBusyError,
    DatabaseUnavailableError,
    EncodedBodyError,
    KeyReusedError,
    NotAuthenticatedError,
)
from orchboard.results.parse import SentStats
from orchboard.signing import TOLERANCE_S
from orchboard.stats import JobType, Pipeline, Region, Stats, TopScore
from orchboard.store.spool.spool import NOTHING_SPOOLED

_ORCHESTRATOR = "0x22a48674a6fdf9335d89b6dbc05c38e2dc181475"
_SINCE = Param(
    "since",
    "Unix seconds, fractions allowed, inclusive, on receipt time. Alone: until now. Any number is taken; `NaN` is an empty answer.",
    "1727000000",
)
_UNTIL = Param(
    "until",
    "Unix seconds, likewise. Alone: everything before it (over an hour ahead it bounds nothing). Neither: the last START_TIME_WINDOW.",
    "4102444800",
)
_REGION = Param("region", "Region code, in any case.", "FRA")
_PIPELINE = Param("pipeline", "AI pipeline, exactly as posted; needs `model`.", "Text to image")
_PIPELINE_ALONE = Param("pipeline", "AI pipeline, exactly as posted. Alone: all its models.", "Text to image")
_MODEL = Param("model", "AI model, exactly as posted; needs `pipeline`.", "ByteDance/SDXL-Lightning")
_JOB_TYPE = Param(
    "job_type", "`transcoding` or `ai`; anything else is ignored. Not given: ai when a pipeline is.", "ai"
)
_SCORED = Param(
    "scored",
    "`true`: only results that count in scores; `false`: only those that their tester calls unscored. Not given: all.",
    "true",
)
_UNAVAILABLE = Error("the database did not answer; try again")
_BUSY = Error("too many expensive questions from this address are under way; try again")

_RESULT = {
    "region": "FRA",
    "orchestrator": _ORCHESTRATOR,
    "success_rate": 1.0,
    "round_trip_time": 2.2,
    "errors": [],
    "timestamp": 1727000000,
    "model": "ByteDance/SDXL-Lightning",
    "model_is_warm": True,
    "pipeline": "Text to image",
    "input_parameters": '{"prompt":"a bear"}',
    "response_payload": '{"images":[]}',
    "prompt_id": "bear-1",
}
_TRANSCODING_RESULT = {
    "region": "MDW",
    "orchestrator": _ORCHESTRATOR,
    "success_rate": 0.5,
    "round_trip_time": 1.5,
    "errors": [{"error_code": "DOWNLOAD", "message": "segment 7 timed out", "count": 1}],
    "timestamp": 1727000000,
    "seg_duration": 2.0,
    "segments_sent": 2,
    "segments_received": 1,
    "upload_time": 0.3,
    "download_time": 0.2,
    "transcode_time": 1.0,
}

ROUTES: tuple[Endpoint, ...] = (
    Endpoint(
        name="post_stats",
        method="POST",
        path="/api/post_stats",
        summary="Store one result",
        help="Sent by a job tester: one result, signed. Answered `ok` when it is on the disk, and never otherwise. A result "
        "that names both `pipeline` and `model` is an AI result, any other a transcoding result. Members that are not "
        "listed here are kept; one that can't be stored becomes `null` and is named in `orchboard_dropped`.",
        params=(
            Param("Authorization", "HMAC-SHA256 of the raw body with the shared secret, 64 lower-case hex digits. Not "
                  "looked at, and not required, beside a `webhook-signature`.", required=True, place="header"),
            Param("Idempotency-Key", f"At most {MAX_KEY} characters. The same key with the same body stores once, so a "
                  "POST may be repeated.", "tester-7-job-1042", place="header"),
            Param("webhook-id", "With the two below: a signature as Standard Webhooks 1.0 has it, which nobody can "
                  f"send a second time. At most {MAX_KEY} characters; it is the Idempotency-Key.", place="header"),
            Param("webhook-timestamp", f"Unix seconds, at most {TOLERANCE_S} from the server's clock.", place="header"),
            Param("webhook-signature", "`v1,` and the HMAC-SHA256 of `<webhook-id>.<webhook-timestamp>.<body>` in base64; "
                  "of several with spaces between, one must be right.", place="header"),
            Param("Orchboard-Tester", "Whose key signed it, of a tester that has one of its own; else the shared "
                  "secret did.", place="header"),
        ),
        body=SentStats,
        bodies={JobType.AI: _RESULT, JobType.TRANSCODING: _TRANSCODING_RESULT},
        answer="ok",
        answer_type=Literal["ok"],
        media_type="text/plain",
        cached=False,
        refusals={
            BadInputError: Error("invalid region"),
            NotAuthenticatedError: Error("request can not be authenticated"),
            BodyTooLargeError: Error("the body is over 16777216 bytes"),
            EncodedBodyError: Error("Content-Encoding 'gzip' is not taken: send the body as it is"),
            KeyReusedError: Error("this Idempotency-Key (or webhook-id) was used for another body"),
            DatabaseUnavailableError: _UNAVAILABLE,
        },
    ),
    Endpoint(
        name="aggregated_stats",
        method="GET",
        path="/api/aggregated_stats",
        summary="Scores by orchestrator and region",
        help="The document gateways choose by. AI scores are against the median of their pipeline and model over all "
        "orchestrators; without a model they are averaged, weighted by results. Transcoding cells carry "
        "`latency_score` and `total_score` too, other names of the same values. Only orchestrators named by an Ethereum "
        "address are in it (`ORCHESTRATOR_NAMES`). `{}` when there is nothing.",
        params=(Param("orchestrator", "Address, in any case; filters after scoring.", _ORCHESTRATOR), _REGION, _SINCE,
                _UNTIL, _PIPELINE, _MODEL, _JOB_TYPE),
        asked=("pipeline", "model"),
        answer={_ORCHESTRATOR: {"FRA": {"success_rate": 1.0, "round_trip_score": 0.8, "score": 0.93}}},
        answer_type=dict[str, dict[str, Cell]],
        refusals={
            BadInputError: Error("pipeline required"),
            ClientBusyError: _BUSY,
            DatabaseUnavailableError: _UNAVAILABLE,
        },
    ),
    Endpoint(
        name="raw_stats",
        method="GET",
        path="/api/raw_stats",
        summary="Stored results of one orchestrator",
        help="Every result in the window by region, newest first by receipt. Each row carries every field of the "
        "contract and whatever else its tester sent. `test_outcome` decides what a row is: one that begins with "
        "`unscored` is no verdict on the orchestrator and in no score, though its zeros look like a failure. A member "
        "that could not be stored is `null` and named in `orchboard_dropped`. `{}` when there is nothing. More than a megabyte is sent in chunks, "
        "without an ETag and a length; a connection that is reset in the middle means that the answer is not whole.",
        params=(Param("orchestrator", "Address, in any case.", _ORCHESTRATOR, required=True), _REGION, _SINCE, _UNTIL,
                _PIPELINE_ALONE, _MODEL, _JOB_TYPE, _SCORED),
        asked=("orchestrator", "job_type"),
        may_be_streamed=True,
        answer={"FRA": [
            {
                "region": "FRA",
                "orchestrator": _ORCHESTRATOR,
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
            ClientBusyError: _BUSY,
            DatabaseUnavailableError: _UNAVAILABLE,
        },
    ),
    Endpoint(
        name="pipelines",
        method="GET",
        path="/api/pipelines",
        summary="AI pipelines seen",
        help="With the models and regions they were seen with; everything sorted.",
        params=(_REGION, _SINCE, _UNTIL,
                Param("pipeline", "Filters nothing here; refused without `model`.", "Text to image"),
                Param("model", "Filters nothing here; refused without `pipeline`.", "ByteDance/SDXL-Lightning")),
        asked=("region",),
        answer=Pipelines((Pipeline("Text to image", ("ByteDance/SDXL-Lightning",), ("FRA",)),)),
        answer_type=Pipelines,
        refusals={
            BadInputError: Error("since must be a number of Unix seconds, not 'yesterday'"),
            ClientBusyError: _BUSY,
            DatabaseUnavailableError: _UNAVAILABLE,
        },
    ),
    Endpoint(
        name="regions",
        method="GET",
        path="/api/regions",
        summary="Regions by job type",
        help="Sorted by type, then GLOBAL first, then name.",
        answer=Regions((
            Region("GLOBAL", "Global", JobType.AI),
            Region("FRA", "Frankfurt", JobType.AI),
            Region("GLOBAL", "Global", JobType.TRANSCODING),
        )),
        answer_type=Regions,
        refusals={DatabaseUnavailableError: _UNAVAILABLE},
    ),
    Endpoint(
        name="top_ai_score",
        method="GET",
        path="/api/top_ai_score",
        summary="The best AI result group",
        help="By highest mean success rate, then lowest mean round trip, in the default window. `{}` when there is none.",
        params=(Param("orchestrator", "Address, in any case; not given: the best of all.", _ORCHESTRATOR),),
        asked=("orchestrator",),
        answer=TopScore("FRA", _ORCHESTRATOR, 0.93, "ByteDance/SDXL-Lightning", "Text to image"),
        answer_type=TopScore,
        or_empty=True,
        refusals={
            BadInputError: Error("orchestrator holds the character U+0000"),
            ClientBusyError: _BUSY,
            DatabaseUnavailableError: _UNAVAILABLE,
        },
    ),
    Endpoint(
        name="health",
        method="GET",
        path="/api/health",
        summary="Whether the database answers",
        help="From a real round trip of at most 2 s, never cached. 503 with `ok` false and a reason when it does not. `spool` is "
        "there while acknowledged results are not in the database.",
        answer=Health(DatabaseHealth(True)),
        answer_type=Health,
        cached=False,
        refusals={DatabaseUnavailableError: Health(DatabaseHealth(False, _UNAVAILABLE.error))},
    ),
    Endpoint(
        name="upkeep",
        method="GET",
        path="/api/upkeep",
        summary="Do a part of the upkeep",
        help="For a scheduler, where no server runs in the background: moves old results, applies changes to the rollups, "
        "builds those that are due, and forgets what has expired, for 20 s at most. Safe beside other calls and servers. "
        "404 unless the server has a CRON_SECRET, which is the bearer token.",
        bearer=True,
        answer=UpkeepDone(done=True, moved=0, spans=12, keys=3, pending=0),
        answer_type=UpkeepDone,
        cached=False,
        refusals={
            BadTokenError: Error("the bearer token is missing or wrong"),
            DatabaseUnavailableError: _UNAVAILABLE,
        },
    ),
    Endpoint(
        name="healthz",
        method="GET",
        path="/healthz",
        summary="Whether the process answers",
        help="Asks nothing of the database: a process that does not answer this is to be started again.",
        answer=Alive(True),
        answer_type=Alive,
        cached=False,
        refusals={},
    ),
    Endpoint(
        name="readyz",
        method="GET",
        path="/readyz",
        summary="Whether the server is ready for requests",
        help="Migrated and connected, and every other check passed. 503, with the checks that were not, while requests "
        "had better go elsewhere.",
        answer=Readiness(True, tuple(CheckResult(name, True) for name in CHECKS)),
        answer_type=Readiness,
        cached=False,
        refusals={
            DatabaseUnavailableError: Readiness(
                False, (CheckResult("database", False, _UNAVAILABLE.error), CheckResult("writing", True), CheckResult("spool", True))
            )
        },
    ),
    Endpoint(
        name="metrics",
        method="GET",
        path="/metrics",
        summary="What is to be watched, for Prometheus",
        help="In its text format: whether the database answers; how many results wait in the spool, and for how long; how far "
        "rollups are behind; when each background task last succeeded; how far this machine's clock is off. "
        "Always 200; nothing of what can't be asked.",
        answer=exposition(samples_of(datetime.now(UTC), NOTHING_SPOOLED, is_database_up=True)),
        answer_type=str,
        cached=False,
        media_type="text/plain",
        refusals={},
    ),
)  # fmt: skip


ASKERS: Mapping[str, Asker] = {
    "aggregated_stats": aggregated_stats,
    "raw_stats": raw_stats,
    "pipelines": pipelines,
    "regions": regions,
    "top_ai_score": top_ai_score,
}
"""The function behind the name of each route whose answers are kept."""


def handlers(post_stats: PostStats, keep_up: KeepUp) -> dict[str, Handler]:
    """The functions behind the other routes."""
    return {
        "post_stats": post_stats,
        "health": health,
        "upkeep": keep_up,
        "healthz": healthz,
        "readyz": readyz,
        "metrics": metrics,
    }
