"""ROUTES: every endpoint of the API with what is written about it. `openapi.py` and docs/api.md are made from it."""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.aggregated_stats import aggregated_stats
from orchboard.api.health import health
from orchboard.api.pipelines import pipelines
from orchboard.api.post_stats import PostStats
from orchboard.api.raw_stats import raw_stats
from orchboard.api.regions import regions
from orchboard.api.top_ai_score import top_ai_score
from orchboard.errors import (
    BadInputError,
    BodyTooLargeError,
    DatabaseUnavailableError,
    KeyReusedError,
    NotAuthenticatedError,
    Refusal,
)
from orchboard.leaderboard import Leaderboard

Handler = Callable[[Request, Leaderboard], Awaitable[Response]]


class Param(Struct, frozen=True):
    """A query parameter or header; `example` is one that makes sense on a demo database."""

    name: str
    help: str
    example: str = ""
    required: bool = False
    place: str = "query"


class Endpoint(Struct, frozen=True, kw_only=True):
    """One route.

    name -- the stem: api/<name>.py, store/sql/<name>.sql, tests/api/test_<name>.py
    answer -- an example of a 200's body
    refusals -- what it may answer instead
    """

    name: str
    method: str
    path: str
    summary: str
    help: str
    params: tuple[Param, ...] = ()
    answer: Any
    refusals: tuple[type[Refusal], ...] = (DatabaseUnavailableError,)


_ORCHESTRATOR = "0x22a48674a6fdf9335d89b6dbc05c38e2dc181475"
_SINCE = Param(
    "since", "Unix seconds, fractions allowed, inclusive, on receipt time. Alone: until now.", "1727000000"
)
_UNTIL = Param(
    "until", "Unix seconds, likewise. Alone: everything before it. Neither: the last START_TIME_WINDOW."
)
_REGION = Param("region", "Region code, in any case.", "FRA")
_PIPELINE = Param("pipeline", "AI pipeline, exactly as posted.", "text-to-image")
_MODEL = Param("model", "AI model, exactly as posted; needs `pipeline`.", "ByteDance/SDXL-Lightning")
_JOB_TYPE = Param(
    "job_type", "`transcoding` or `ai`; anything else is ignored. Not given: ai when a pipeline is.", "ai"
)
_READ_REFUSALS = (BadInputError, DatabaseUnavailableError)

_RESULT = {
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
    "pipeline": "text-to-image",
    "input_parameters": '{"prompt":"a bear"}',
    "response_payload": '{"images":[]}',
}

ROUTES: tuple[Endpoint, ...] = (
    Endpoint(
        name="post_stats",
        method="POST",
        path="/api/post_stats",
        summary="Store one result",
        help="Sent by a job tester: one result, signed. Answered `ok` after the commit, and never otherwise.",
        params=(
            Param("Authorization", "HMAC-SHA256 of the raw body with the shared secret, 64 lower-case hex digits.",
                  required=True, place="header"),
            Param("Idempotency-Key", "At most 255 characters. The same key with the same body stores once.",
                  place="header"),
        ),
        answer="ok",
        refusals=(BadInputError, NotAuthenticatedError, BodyTooLargeError, KeyReusedError, DatabaseUnavailableError),
    ),
    Endpoint(
        name="aggregated_stats",
        method="GET",
        path="/api/aggregated_stats",
        summary="Scores by orchestrator and region",
        help="The document gateways choose by. AI scores are against the median of their pipeline and model over all "
        "orchestrators; without a model they are averaged, weighted by results. Transcoding cells carry "
        "`latency_score` and `total_score` too, other names of the same values.",
        params=(Param("orchestrator", "Address, in any case; filters after scoring.", _ORCHESTRATOR), _REGION, _SINCE,
                _UNTIL, _PIPELINE, _MODEL, _JOB_TYPE),
        answer={_ORCHESTRATOR: {"FRA": {"success_rate": 1.0, "round_trip_score": 0.8, "score": 0.93}}},
        refusals=_READ_REFUSALS,
    ),
    Endpoint(
        name="raw_stats",
        method="GET",
        path="/api/raw_stats",
        summary="Stored results of one orchestrator",
        help="Every result in the window, newest first by receipt, by region. Each row carries every field of the "
        "contract and whatever else its tester sent.",
        params=(Param("orchestrator", "Address, in any case.", _ORCHESTRATOR, required=True), _REGION, _SINCE, _UNTIL,
                _PIPELINE, _MODEL, _JOB_TYPE),
        answer={"FRA": [_RESULT]},
        refusals=_READ_REFUSALS,
    ),
    Endpoint(
        name="pipelines",
        method="GET",
        path="/api/pipelines",
        summary="AI pipelines seen",
        help="With the models and regions they were seen with; everything sorted.",
        params=(_REGION, _SINCE, _UNTIL),
        answer={"pipelines": [{"id": "text-to-image", "models": ["ByteDance/SDXL-Lightning"], "regions": ["FRA"]}]},
        refusals=_READ_REFUSALS,
    ),
    Endpoint(
        name="regions",
        method="GET",
        path="/api/regions",
        summary="Regions by job type",
        help="Sorted by type, then GLOBAL first, then name.",
        answer={"regions": [{"id": "FRA", "name": "Frankfurt", "type": "ai"}]},
    ),
    Endpoint(
        name="top_ai_score",
        method="GET",
        path="/api/top_ai_score",
        summary="The best AI result group",
        help="By highest mean success rate, then lowest mean round trip, in the default window. `{}` when there is none.",
        params=(Param("orchestrator", "Address, in any case; not given: the best of all.", _ORCHESTRATOR),),
        answer={"region": "FRA", "orchestrator": _ORCHESTRATOR, "value": 0.93, "model": "ByteDance/SDXL-Lightning",
                "pipeline": "text-to-image"},
        refusals=_READ_REFUSALS,
    ),
    Endpoint(
        name="health",
        method="GET",
        path="/api/health",
        summary="Whether the database answers",
        help="From a real round trip, never cached. 503 with `ok` false and a reason when it does not.",
        answer={"postgres": {"ok": True}},
    ),
)  # fmt: skip


def handlers(post_stats: PostStats) -> dict[str, Handler]:
    """The function behind each route's name."""
    return {
        "post_stats": post_stats,
        "aggregated_stats": aggregated_stats,
        "raw_stats": raw_stats,
        "pipelines": pipelines,
        "regions": regions,
        "top_ai_score": top_ai_score,
        "health": health,
    }
