"""Query parameters, results and refusals that several rows of ROUTES use, with examples."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from orchboard.api.endpoint import Param
from orchboard.api.refusals import Error
from orchboard.errors import BadInputError, ClientBusyError, DatabaseUnavailableError, Refusal
from orchboard.reports.envelope import AnswerWindow

ORCHESTRATOR = "0x22a48674a6fdf9335d89b6dbc05c38e2dc181475"
SINCE = Param(
    "since",
    "Start of the window: receipt time in Unix seconds, inclusive, fractions allowed. Without `until`, the window ends now. "
    "Any number is valid; `NaN` gives an empty answer.",
    "1727000000",
)
UNTIL = Param(
    "until",
    "End of the window: receipt time in Unix seconds, inclusive. Without `since`, the window holds everything before it. Without "
    "both, or with only an `until` that is more than an hour in the future, it is the last `START_TIME_WINDOW`.",
    "4102444800",
)
REGION = Param("region", "Region code. Case-insensitive.", "FRA")
PIPELINE = Param("pipeline", "AI pipeline, exactly as posted. Requires `model`.", "Text to image")
PIPELINE_ALONE = Param(
    "pipeline", "AI pipeline, exactly as posted. Without `model`: all its models.", "Text to image"
)
MODEL = Param("model", "AI model, exactly as posted. Requires `pipeline`.", "ByteDance/SDXL-Lightning")
JOB_TYPE = Param(
    "job_type",
    "`transcoding` or `ai`; other values are ignored. Default: `ai` with a `pipeline`, else `transcoding`.",
    "ai",
)
SCORED = Param(
    "scored",
    "`true`: only results that count towards scores. `false`: only results that their tester marked as unscored. "
    "Default: all results.",
    "true",
)
UNAVAILABLE = Error("the database did not answer; try again")
BUSY = Error("too many expensive queries from this address are in progress; try again")

RESULT = {
    "region": "FRA",
    "orchestrator": ORCHESTRATOR,
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
TRANSCODING_RESULT = {
    "region": "MDW",
    "orchestrator": ORCHESTRATOR,
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

EXAMPLE_TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)
EXAMPLE_ENVELOPE: Mapping[str, Any] = {
    "generated_at": EXAMPLE_TIME,
    "last_result_at": EXAMPLE_TIME,
    "window": AnswerWindow("24h", EXAMPLE_TIME - timedelta(days=1), EXAMPLE_TIME),
    "results": 2,
}
"""The members of `Envelope`, once RESULT and TRANSCODING_RESULT are stored."""

SCOPE_REFUSALS: Mapping[type[Refusal], Struct] = {
    BadInputError: Error("window must be one of 1h, 24h, 7d, 30d, 90d, 1y, all, not '2w'"),
    ClientBusyError: BUSY,
    DatabaseUnavailableError: UNAVAILABLE,
}
"""The refusals of every query with a Scope."""
