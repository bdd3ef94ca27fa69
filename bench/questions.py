"""What is asked in the measured works, of the server and as a plain query."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from urllib.parse import urlencode

from msgspec import Struct

from bench.plain import Plain

MODEL = ("text-to-image", "ByteDance/SDXL-Lightning")


class Work(Struct, frozen=True):
    """One question about a window. target -- how many times faster than the plain query it shall be."""

    name: str
    path: str
    parameters: dict[str, str]
    ask_plain: Callable[[Plain, datetime, datetime], Awaitable[object]]
    target: float

    def url(self, since: float, until: float | None = None) -> str:
        """The path with its query; since, until -- Unix seconds."""
        window = {"since": f"{since:.4f}"} | ({} if until is None else {"until": f"{until:.4f}"})
        return f"/api/{self.path}?{urlencode({**self.parameters, **window})}"


TRANSCODING = Work(
    "aggregated_stats, all orchestrators, transcoding",
    "aggregated_stats",
    {},
    lambda plain, since, until: plain.transcoding(since, until),
    40,
)
ONE_MODEL = Work(
    "aggregated_stats, one pipeline and model",
    "aggregated_stats",
    {"pipeline": MODEL[0], "model": MODEL[1]},
    lambda plain, since, until: plain.ai(since, until, *MODEL),
    30,
)
AI = Work(
    "aggregated_stats, job_type=ai",
    "aggregated_stats",
    {"job_type": "ai"},
    lambda plain, since, until: plain.ai(since, until),
    40,
)
PIPELINES = Work("pipelines", "pipelines", {}, lambda plain, since, until: plain.pipelines(since, until), 50)
TOP_TARGET = 40.0


def raw(orchestrator: str) -> Work:
    """The raw results of one orchestrator."""
    return Work(
        "raw_stats, one orchestrator",
        "raw_stats",
        {"orchestrator": orchestrator},
        lambda plain, since, until: plain.raw(since, until, orchestrator),
        5,
    )


def moment(unix_s: float) -> datetime:
    """Unix seconds as the database wants them."""
    return datetime.fromtimestamp(unix_s, UTC)
