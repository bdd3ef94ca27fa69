"""The measured works: each as a request to the server and as a plain query."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct

from bench.agreement import compare_ai, compare_pipelines, compare_raw, compare_transcoding
from bench.plain_queries import PlainQueries

MODEL = ("Text to image", "ByteDance/SDXL-Lightning")


class Work(Struct, frozen=True):
    """A query over a window.

    compare -- compares a body with the rows of ask_plain and returns how much was compared; raises DisagreementError
    target -- the wanted ratio to the plain query
    """

    name: str
    path: str
    parameters: dict[str, str]
    ask_plain: Callable[[PlainQueries, datetime, datetime], Awaitable[Any]]
    compare: Callable[[bytes, Any], int]
    target: float

    def url(self, since: float, until: float | None = None) -> str:
        """Return the request target. since, until -- Unix seconds"""
        window = {"since": f"{since:.4f}"} | ({} if until is None else {"until": f"{until:.4f}"})
        return f"/api/{self.path}?{urlencode({**self.parameters, **window})}"


TRANSCODING = Work(
    "aggregated_stats, all orchestrators, transcoding",
    "aggregated_stats",
    {},
    lambda plain, since, until: plain.transcoding(since, until),
    compare_transcoding,
    40,
)
ONE_MODEL = Work(
    "aggregated_stats, one pipeline and model",
    "aggregated_stats",
    {"pipeline": MODEL[0], "model": MODEL[1]},
    lambda plain, since, until: plain.ai(since, until, *MODEL),
    compare_ai,
    30,
)
AI = Work(
    "aggregated_stats, job_type=ai",
    "aggregated_stats",
    {"job_type": "ai"},
    lambda plain, since, until: plain.ai(since, until),
    compare_ai,
    40,
)
PIPELINES = Work(
    "pipelines",
    "pipelines",
    {},
    lambda plain, since, until: plain.pipelines(since, until),
    compare_pipelines,
    50,
)
TOP_TARGET = 40.0


def raw(orchestrator: str) -> Work:
    """The raw results of one orchestrator."""
    return Work(
        "raw_stats, one orchestrator",
        "raw_stats",
        {"orchestrator": orchestrator},
        lambda plain, since, until: plain.raw(since, until, orchestrator),
        compare_raw,
        5,
    )


def moment(unix_s: float) -> datetime:
    """Convert Unix seconds for the database."""
    return datetime.fromtimestamp(unix_s, UTC)
