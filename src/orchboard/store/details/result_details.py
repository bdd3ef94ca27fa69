"""Raw results as columns with everything that details are made of, and their sums by series."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import asyncpg
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from orchboard import limits
from orchboard.store.details.error_sums import NO_ERRORS, ErrorSums, add_up_errors
from orchboard.store.details.error_texts import ErrorTexts
from orchboard.store.details.sums import MOMENTS, SeriesSums
from orchboard.store.measures import MEASURES
from orchboard.store.postgres.clock import from_pg_time
from orchboard.store.rollups.group_index import Indices
from orchboard.store.rollups.result_columns import Doubles
from orchboard.store.sql_files import sql

_NONE = -1

# A remembered key beside its bytes: in memory, with its number.
_KEY_BYTES = 160


class ResultDetails(Struct, frozen=True):
    """Results in the order of receipt.

    event_time -- microseconds since 2000, shape (results,), as all below unless they say otherwise
    series -- of the SeriesIndex; -1 for a result without an orchestrator or a known job type, which is in no series
    is_scored, is_warm
    errors -- index in `texts`; -1 without errors
    measures -- shape (measures, results), in the order of MEASURES
    texts -- the distinct error texts
    """

    event_time: Indices
    series: Indices
    is_scored: NDArray[np.bool_]
    is_warm: NDArray[np.bool_]
    errors: Indices
    measures: Doubles
    texts: ErrorTexts

    @classmethod
    def of(cls, arrays: Sequence[NDArray[Any]], texts: ErrorTexts) -> "ResultDetails":
        """From what `arrays` returns."""
        event_time, series, is_scored, is_warm, errors, measures = arrays
        return cls(event_time, series, is_scored, is_warm, errors, measures, texts)

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """All but `texts`, in order."""
        return [getattr(self, name) for name in _ARRAYS]

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays)

    def between(self, since: int, until: int) -> "ResultDetails":
        """The results received in [since, until), as views."""
        first, last = self.event_time.searchsorted((since, until)).tolist()
        return ResultDetails(
            self.event_time[first:last],
            self.series[first:last],
            self.is_scored[first:last],
            self.is_warm[first:last],
            self.errors[first:last],
            self.measures[:, first:last],
            self.texts,
        )

    def select(self, chosen: NDArray[np.bool_]) -> "ResultDetails":
        """Some results, given by a mask."""
        if chosen.all():
            return self
        return ResultDetails.of([array[..., chosen] for array in self.arrays], self.texts)


_ARRAYS = [name for name in ResultDetails.__struct_fields__ if name != "texts"]


class ResultKey(NamedTuple):
    """What a result is of, as stored. tester_id -- 0 without one"""

    orchestrator: str
    region_id: int
    pipeline: str
    model: str
    tester_id: int

    @property
    def kind(self) -> "ResultKey":
        """The same without the orchestrator."""
        return self._replace(orchestrator="")


class SeriesNumbers(Protocol):
    """Numbers series: those of a server, or those of a builder of rollups."""

    async def numbers_of(self, keys: Sequence[ResultKey]) -> Indices:
        """The number of each key's series; -1 for a result that is in no series."""

    def are_ai(self, numbers: Indices) -> NDArray[np.bool_]:
        """Whether each of some series is of AI jobs."""


class DetailResultReader:
    """Reads rows of `detail_columns`. Remembers the series of each distinct key, in RESULT_KEYS_BYTES, and each error text."""

    def __init__(self, numbers: SeriesNumbers) -> None:
        self._numbers = numbers
        self._series: dict[bytes, int] = {}
        self._key_bytes = 0
        self._texts = ErrorTexts()

    async def read(self, row: asyncpg.Record) -> ResultDetails:
        """The results of a row. Raises DatabaseUnavailableError if a new region can't be read."""
        series = await self._series_of(row["keys"] or b"", _integers(row["key_lengths"], ">i4"))
        if self._texts.is_full:  # results that were read before keep theirs
            self._texts = ErrorTexts()
        texts = _cut(row["errors"] or b"", _integers(row["error_lengths"], ">i4"))
        errors = np.fromiter((self._texts.number_of(text) for text in texts), np.int64, len(series))
        return ResultDetails(
            _integers(row["event_time"], ">i8"),
            series,
            np.frombuffer(row["is_scored"] or b"", np.bool_),
            np.frombuffer(row["is_warm"] or b"", np.bool_),
            errors,
            np.array([np.frombuffer(row[name] or b"", ">f8") for name in MEASURES], np.float64),
            self._texts,
        )

    def sums(self, results: ResultDetails, *, with_errors: bool = True) -> SeriesSums:
        """The sums of some results by series. with_errors -- False: the errors are left out"""
        results = results.select(results.series >= 0)
        distinct, entry = np.unique(results.series, return_inverse=True)
        number = len(distinct)
        scored = results.is_scored
        counts = np.bincount(entry[scored], minlength=number)
        measures, entry_of_scored = results.measures[:, scored], entry[scored]
        sums = np.array([np.bincount(entry_of_scored, row, number) for row in measures])
        deviations = measures - (sums / np.maximum(counts, 1))[:, entry_of_scored]
        moments = np.array(
            [np.bincount(entry_of_scored, deviations[a] * deviations[b], number) for a, b in MOMENTS]
        )
        success_rate = results.measures[MEASURES.index("success_rate")]
        round_trip_time = results.measures[MEASURES.index("round_trip_time")]
        has_round_trip = scored & (success_rate == 1) & (round_trip_time != 0)
        values, of_value = round_trip_time[has_round_trip], entry[has_round_trip]
        first = np.full(number, np.iinfo(np.int64).max)
        last = np.full(number, np.iinfo(np.int64).min)
        np.minimum.at(first, entry, results.event_time)
        np.maximum.at(last, entry, results.event_time)
        return SeriesSums(
            distinct,
            counts,
            np.bincount(entry[~scored], minlength=number),
            np.bincount(entry[scored & (success_rate >= 1)], minlength=number),
            np.bincount(entry[scored & ~results.is_warm], minlength=number) * self._numbers.are_ai(distinct),
            first,
            last,
            sums,
            moments,
            values,
            of_value,
            _sum_errors(results) if with_errors else NO_ERRORS,
        )

    async def _series_of(self, keys: bytes, lengths: Indices) -> Indices:
        """The series of each result. keys -- of all, concatenated; lengths -- of each, in bytes"""
        if self._key_bytes > limits.RESULT_KEYS_BYTES:
            self._series, self._key_bytes = {}, 0
        distinct = set(_cut(keys, lengths))
        while missing := distinct - self._series.keys():  # another read may have forgotten some meanwhile
            await self._learn(missing)
        known = self._series
        return np.fromiter((known[key] for key in _cut(keys, lengths)), np.int64, len(lengths))

    async def _learn(self, keys: Collection[bytes]) -> None:
        """Number the series of some keys; a result without an orchestrator is in none."""
        self._key_bytes += sum(map(len, keys)) + _KEY_BYTES * len(keys)
        named = {key: _read_key(key) for key in keys}
        self._series.update((key, _NONE) for key, read in named.items() if not read.orchestrator)
        new = [key for key, read in named.items() if read.orchestrator]
        if new:
            numbers = await self._numbers.numbers_of([named[key] for key in new])
            self._series.update(zip(new, numbers.tolist(), strict=True))


def _sum_errors(results: ResultDetails) -> ErrorSums:
    at = np.flatnonzero(results.errors >= 0)
    result, errors = results.texts.of(results.errors[at])
    result = at[result]
    moment = results.event_time[result]
    return add_up_errors([replace(errors, series=results.series[result], first=moment, last=moment)])


def _read_key(key: bytes) -> ResultKey:
    region_id, tester_id = (int.from_bytes(key[at : at + 4], "big", signed=True) for at in (0, 4))
    orchestrator, pipeline, model = key[8:].decode().split("\0")
    return ResultKey(orchestrator, region_id, pipeline, model, tester_id)


def _cut(joined: bytes, lengths: Indices) -> Iterator[bytes]:
    """The parts of some lengths, one at a time, as there may be 300,000."""
    ends = np.cumsum(lengths)
    return (joined[start:end] for start, end in zip((ends - lengths).data, ends.data, strict=True))


def _integers(sent: bytes | None, kind: str) -> Indices:
    return np.frombuffer(sent or b"", kind).astype(np.int64)


async def pages(
    fetch: Callable[..., Awaitable[Sequence[asyncpg.Record]]],
    reader: DetailResultReader,
    since: datetime,
    until: datetime,
    size: int,
) -> AsyncIterator[ResultDetails]:
    """The results received in [since, until), some at a time. fetch -- runs a statement; size -- of a page, at least"""
    while since < until:
        [row] = await fetch(sql("detail_results"), since, until, size)
        results = await reader.read(row)
        if not len(results.event_time):
            return
        yield results
        if len(results.event_time) < size:
            return
        since = from_pg_time(int(results.event_time[-1]) + 1)
