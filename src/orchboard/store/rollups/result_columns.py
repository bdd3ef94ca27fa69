"""Results as columns: what scores are made of, in arrays, in the order of receipt."""

from collections.abc import Mapping
from typing import TypeAlias

import asyncpg
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from orchboard.stats import JobType
from orchboard.store.rollups.group_index import GroupIndex, Numbers

Doubles: TypeAlias = NDArray[np.float64]


class Columns(Struct, frozen=True):
    """Scored results of one job type; arrays of the same length, in the order of receipt.

    event_time -- microseconds since 2000
    series -- numbers in the GroupIndex
    success_rate, seg_duration, round_trip_time -- as stored; times in seconds
    """

    event_time: Numbers
    series: Numbers
    success_rate: Doubles
    seg_duration: Doubles
    round_trip_time: Doubles

    def between(self, since: int, until: int) -> "Columns":
        """Those received from one moment until before another; views, not copies."""
        first, last = self.event_time.searchsorted((since, until))
        return self.part(int(first), int(last))

    def part(self, first: int, last: int) -> "Columns":
        """Those at some places; views, not copies."""
        return Columns(
            self.event_time[first:last],
            self.series[first:last],
            self.success_rate[first:last],
            self.seg_duration[first:last],
            self.round_trip_time[first:last],
        )

    def arrays(self) -> tuple[Numbers, Numbers, Doubles, Doubles, Doubles]:
        """The columns, in the order of the fields."""
        return self.event_time, self.series, self.success_rate, self.seg_duration, self.round_trip_time


class PipelineOccurrences(Struct, frozen=True):
    """Every result, scored or not: when it came, and which pipeline and model it showed where.

    event_time -- microseconds since 2000, rising
    seen -- numbers in the GroupIndex's `seen`; -1 where there was no pipeline or no model, or it is not scored
    """

    event_time: Numbers
    seen: Numbers

    def between(self, since: int, until: int) -> "PipelineOccurrences":
        """Those received from one moment until before another; views, not copies."""
        first, last = self.event_time.searchsorted((since, until))
        return PipelineOccurrences(self.event_time[first:last], self.seen[first:last])


class Results(Struct, frozen=True):
    """Results of a stretch of time, by job type, and all of them as sightings."""

    scored: Mapping[JobType, Columns]
    sightings: PipelineOccurrences

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        arrays = [array for columns in self.scored.values() for array in columns.arrays()]
        return sum(array.nbytes for array in (*arrays, self.sightings.event_time, self.sightings.seen))


async def read_results(row: asyncpg.Record, directory: GroupIndex) -> Results:
    """The results of a row of `sync` or `block`."""
    event_time = _integers(row["event_time"] or b"", ">i8")
    kinds = await directory.kinds_of(row["keys"] or b"", _integers(row["key_lengths"] or b"", ">i4"))
    is_scored = np.frombuffer(row["is_scored"] or b"", np.bool_)
    doubles = [
        np.frombuffer(row[name] or b"", ">f8").astype(np.float64)
        for name in ("success_rate", "seg_duration", "round_trip_time")
    ]
    scored = {}
    for place, job_type in enumerate(JobType):
        mine = np.flatnonzero(is_scored & (kinds[:, 0] == place))
        scored[job_type] = Columns(event_time[mine], kinds[mine, 1], *(column[mine] for column in doubles))
    return Results(scored, PipelineOccurrences(event_time, np.where(is_scored, kinds[:, 2], -1)))


def _integers(sent: bytes, kind: str) -> Numbers:
    return np.frombuffer(sent, kind).astype(np.int64)
