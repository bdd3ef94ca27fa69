"""The nouns: what a job tester sends, what a reader asks for, what a score is."""

import re
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias, TypeVar

from msgspec import Struct

T = TypeVar("T")

# Of the result that `orchboard post --example` sends; nobody's.
EXAMPLE_ORCHESTRATOR = "0x00000000000000000000000000000000000e3a90"


class JobType(StrEnum):
    """Two kinds of test job. A stored result has the job type of its region's row."""

    TRANSCODING = "transcoding"
    AI = "ai"


def job_type_of(pipeline: str, model: str) -> JobType:
    """The job type of a result: AI when both are given, transcoding otherwise."""
    return JobType.AI if pipeline and model else JobType.TRANSCODING


_ADDRESS = re.compile("0x[0-9a-f]{40}", re.IGNORECASE | re.ASCII)


@lru_cache(maxsize=65536)  # answers ask it of every cell: 0.06 instead of 0.3 µs
def is_address(orchestrator: str) -> bool:
    """Whether a name is an Ethereum address, in any case.

    Gateways drop a whole document of scores for one key that is not.
    """
    return _ADDRESS.fullmatch(orchestrator) is not None


class ErrorCount(Struct, frozen=True):
    """How often one error happened during a job.

    error_code -- the tester's own word for it
    message -- more about it; left out when the tester gave none
    count -- may be negative: a known tester miscounts
    """

    error_code: str = ""
    message: str = ""
    count: int = 0


class Stats(Struct, frozen=True, kw_only=True):
    """One job tester's verdict on one job, with zeros for what it left out.

    region -- upper-case region code
    orchestrator -- Ethereum address in lower case, at most 56 characters
    success_rate -- fraction 0..1 (not enforced: a known tester sends more)
    round_trip_time -- seconds until the job's result was back
    errors -- what went wrong, by error
    timestamp -- Unix seconds on the tester's clock; windows never use it
    seg_duration -- seconds of video in a segment; transcoding
    segments_sent, segments_received -- number of segments; transcoding
    upload_time, download_time, transcode_time -- seconds; transcoding
    model, pipeline -- at most 256 characters, spaces and `/` included; empty for transcoding
    model_is_warm -- whether the model was loaded before the job; AI
    input_parameters, response_payload -- any text, up to megabytes; AI
    """

    region: str = ""
    orchestrator: str = ""
    success_rate: float = 0.0
    round_trip_time: float = 0.0
    errors: tuple[ErrorCount, ...] = ()
    timestamp: int = 0
    seg_duration: float = 0.0
    segments_sent: int = 0
    segments_received: int = 0
    upload_time: float = 0.0
    download_time: float = 0.0
    transcode_time: float = 0.0
    model: str = ""
    model_is_warm: bool = False
    pipeline: str = ""
    input_parameters: str = ""
    response_payload: str = ""


class Region(Struct, frozen=True):
    """A place that job testers test from, for one job type. The wire's names.

    id -- upper-case region code
    name -- for people
    type -- of the jobs that are tested from there
    """

    id: str
    name: str
    type: JobType


class Tester(Struct, frozen=True):
    """A job tester with a key of its own; those that share one are nobody in particular.

    regions -- the codes of those it may post from; None: any
    """

    id: int
    name: str
    regions: frozenset[str] | None = None


class Pipeline(Struct, frozen=True):
    """An AI pipeline seen in a window, with the models and regions it was seen with, all sorted.

    id -- the pipeline, as posted
    models -- as posted
    regions -- upper-case region codes
    """

    id: str
    models: tuple[str, ...]
    regions: tuple[str, ...]


class Window(Struct, frozen=True):
    """A closed interval of receipt time. `since` after `until` holds nothing.

    since, until -- aware datetimes in UTC
    """

    since: datetime
    until: datetime


class StatsQuery(Struct, frozen=True, kw_only=True):
    """Which results a reader asks about. None means "any".

    region -- upper case
    orchestrator -- lower case
    scored -- whether their tester scored them; of raw results only, as scores are made of scored ones
    """

    job_type: JobType
    window: Window
    orchestrator: str | None = None
    region: str | None = None
    pipeline: str | None = None
    model: str | None = None
    scored: bool | None = None


class Score(Struct, frozen=True):
    """The mean verdict on one orchestrator in one region; each number 0..1 for inputs in range."""

    success_rate: float
    round_trip_score: float
    score: float


ScoresByCell: TypeAlias = dict[str, dict[str, Score]]
"""{orchestrator: {region: score}}, both sorted; an orchestrator has at least one region."""


class CellScores(Struct, frozen=True):
    """The scores of orchestrators in regions, one a cell; lists of the same length.

    cells -- (orchestrator, region), sorted
    success_rate, round_trip_score, score -- what `Score` says of each
    """

    cells: list[tuple[str, str]]
    success_rate: list[float]
    round_trip_score: list[float]
    score: list[float]

    def by_cell(self) -> ScoresByCell:
        """By orchestrator and region."""
        return self.made_by_cell(Score, self.success_rate, self.round_trip_score, self.score)

    def made_by_cell(self, make: Callable[..., T], *columns: list[float]) -> dict[str, dict[str, T]]:
        """{orchestrator: {region: what is made of its element of each column}}, both sorted."""
        found: dict[str, dict[str, T]] = {}
        for (orchestrator, region), made in zip(self.cells, map(make, *columns), strict=True):
            found.setdefault(orchestrator, {})[region] = made
        return found


class TopScore(Struct, frozen=True):
    """The best AI result group. The wire's names.

    region -- upper-case region code
    orchestrator -- Ethereum address in lower case
    value -- the group's score, 0..1 for inputs in range
    model, pipeline -- as posted
    """

    region: str
    orchestrator: str
    value: float
    model: str
    pipeline: str
