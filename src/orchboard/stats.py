"""The data types that all layers share: results, queries, scores."""

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias, TypeVar

from msgspec import Struct

T = TypeVar("T")

# The orchestrator of `orchboard post --example`; the address belongs to no one.
EXAMPLE_ORCHESTRATOR = "0x00000000000000000000000000000000000e3a90"


class JobType(StrEnum):
    """The kind of a test job. A stored result has the job type of its region."""

    TRANSCODING = "transcoding"
    AI = "ai"


def job_type_of(pipeline: str, model: str) -> JobType:
    """The job type of a result: AI when both are given, transcoding otherwise."""
    return JobType.AI if pipeline and model else JobType.TRANSCODING


_ADDRESS = re.compile("0x[0-9a-f]{40}", re.IGNORECASE | re.ASCII)


@lru_cache(maxsize=65536)  # called for every pair of an answer: 0.06 instead of 0.3 µs
def is_address(orchestrator: str) -> bool:
    """Whether an orchestrator's name is an Ethereum address, in any case.

    Gateways discard a whole document of scores if one key is not an address.
    """
    return _ADDRESS.fullmatch(orchestrator) is not None


class ErrorCount(Struct, frozen=True):
    """How often one kind of error occurred during a job.

    error_code -- the tester's code for it
    message -- the tester's description; left out when empty
    count -- number of occurrences; may be negative, because a known tester miscounts
    """

    error_code: str = ""
    message: str = ""
    count: int = 0


class Stats(Struct, frozen=True, kw_only=True):
    """One result: a job tester's measurements of one job. Members that the tester left out are zero, false or empty.

    region -- upper-case region code
    orchestrator -- Ethereum address in lower case, at most 56 characters
    success_rate -- fraction of the job that succeeded, 0 to 1; not enforced, because a known tester sends more
    round_trip_time -- seconds from sending the job to receiving its result
    errors -- errors during the job
    timestamp -- Unix seconds on the tester's clock; never used to filter
    seg_duration -- transcoding: seconds of video in a segment
    segments_sent, segments_received -- transcoding: number of segments
    upload_time, download_time, transcode_time -- transcoding: seconds
    model, pipeline -- AI: at most 256 characters, may contain spaces and `/`; empty for transcoding
    model_is_warm -- AI: whether the model was loaded before the job
    input_parameters, response_payload -- AI: any text, up to megabytes
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
    """A region that job testers run jobs from, for one job type.

    id -- upper-case region code
    name -- display name
    type -- job type
    """

    id: str
    name: str
    type: JobType


class Tester(Struct, frozen=True):
    """A job tester that has its own signing key.

    regions -- codes of the regions it may post from; None: any
    """

    id: int
    name: str
    regions: frozenset[str] | None = None


class Pipeline(Struct, frozen=True):
    """An AI pipeline with results in the window.

    id -- name of the pipeline, as posted
    models -- names of its models, as posted; sorted
    regions -- upper-case codes of the regions with results; sorted
    """

    id: str
    models: tuple[str, ...]
    regions: tuple[str, ...]


class Window(Struct, frozen=True):
    """A closed interval of receipt time; empty if `since` is after `until`.

    since, until -- aware datetimes in UTC
    """

    since: datetime
    until: datetime


class StatsQuery(Struct, frozen=True, kw_only=True):
    """A filter of results. None means "any".

    region -- upper case
    orchestrator -- lower case
    scored -- whether the tester scored them; for raw results only, as scores use scored results only
    """

    job_type: JobType
    window: Window
    orchestrator: str | None = None
    region: str | None = None
    pipeline: str | None = None
    model: str | None = None
    scored: bool | None = None


class Series(Struct, frozen=True, order=True):
    """What details of results are added up by: one orchestrator, region, job type, pipeline, model and tester.

    orchestrator -- in lower case; region -- upper-case code
    job_type -- of the region
    pipeline, model -- of AI results; empty for transcoding
    tester -- name of the tester whose own key signed the results; empty: the shared secret, or unknown
    """

    orchestrator: str
    region: str
    job_type: JobType
    pipeline: str
    model: str
    tester: str


class NameRange(Struct, frozen=True):
    """Orchestrators from a name on and before another one, by code point; never those of the network together.

    end -- None: all from `first` on
    """

    first: str
    end: str | None

    def contain(self, names: Sequence[str]) -> list[bool]:
        """Whether each of some names is in the range."""
        first, end = self.first or "\0", self.end
        if end is None:
            return [name >= first for name in names]
        return [first <= name < end for name in names]


class SeriesQuery(Struct, frozen=True, kw_only=True):
    """A filter of series. None means "any".

    orchestrators -- in lower case; region -- upper case
    tester -- a name; empty: results that no tester's own key signed
    """

    job_type: JobType | None = None
    orchestrators: frozenset[str] | None = None
    region: str | None = None
    pipeline: str | None = None
    model: str | None = None
    tester: str | None = None

    def selects(self, series: Series) -> bool:
        """Whether the results of a series are asked for."""
        return (
            self.job_type in (None, series.job_type)
            and (self.orchestrators is None or series.orchestrator in self.orchestrators)
            and self.region in (None, series.region)
            and self.pipeline in (None, series.pipeline)
            and self.model in (None, series.model)
            and self.tester in (None, series.tester)
        )


class PartQuery(SeriesQuery, frozen=True, kw_only=True):
    """A filter of series of the orchestrators in a range: a part of what a query without orchestrators selects."""

    names: NameRange

    def selects(self, series: Series) -> bool:
        """Whether the results of a series are asked for."""
        return self.names.contain([series.orchestrator])[0] and super().selects(series)


class Score(Struct, frozen=True):
    """The score of an orchestrator in a region. Each number is 0 to 1 if the results are in range."""

    success_rate: float
    round_trip_score: float
    score: float


ScoresByPair: TypeAlias = dict[str, dict[str, Score]]
"""{orchestrator: {region: score}}, both sorted. An orchestrator has at least one region."""


class TopScore(Struct, frozen=True):
    """The best group of AI results.

    region -- upper-case region code
    orchestrator -- Ethereum address in lower case
    value -- score of the group, 0 to 1 if the results are in range
    model, pipeline -- names as posted
    """

    region: str
    orchestrator: str
    value: float
    model: str
    pipeline: str
