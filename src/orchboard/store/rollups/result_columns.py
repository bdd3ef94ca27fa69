"""Raw results as NumPy columns, and the definition of which results count: the same as in the view `scored_results`."""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, TypeAlias

import asyncpg
import numpy as np
from msgspec import Struct
from numpy.typing import DTypeLike, NDArray

from orchboard import limits
from orchboard.stats import JobType
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.group_index import GroupIndex, Indices, Occurrence, PipelineModel
from orchboard.store.rollups.pairs import Pair

Doubles: TypeAlias = NDArray[np.float64]
ResultKey: TypeAlias = bytes
"""What a result is of: region id (4 bytes), orchestrator in lower case, 0, pipeline, 0, model."""

_JOB_TYPES = {job_type: index for index, job_type in enumerate(JobType)}
_NONE = -1
_MIN_CAPACITY = 1024

# Memory of a remembered key beside its bytes.
_KEY_BYTES = 160


class Scope(Struct, frozen=True):
    """What a scored result counts for.

    job_type -- None if it has no scores; group -- the pair, and the pipeline and model that its scores are of
    occurrence -- the pipeline and model that it lists with its region; None without a pipeline or model
    """

    job_type: JobType | None
    group: tuple[Pair, PipelineModel]
    occurrence: Occurrence | None


def scope_of(pair: Pair, pipeline: str, model: str, job_type: JobType | None) -> Scope | None:
    """What a scored result counts for; None without an orchestrator. The same rule as the view `scored_results`.

    job_type -- of its region; None if that is unknown
    """
    orchestrator, region = pair
    if not orchestrator:
        return None
    names = (pipeline, model) if job_type is JobType.AI else ("", "")
    occurrence = (pipeline, model, region) if pipeline and model else None
    return Scope(job_type, (pair, names), occurrence)


class ResultColumns(Struct, frozen=True):
    """Scored results of one job type, in the order of receipt.

    event_time -- microseconds since 2000, shape (results,); groups -- of the GroupIndex, likewise
    measures -- shape (measures, results), in the order of MEASURES
    """

    event_time: Indices
    groups: Indices
    measures: Doubles

    def between(self, since: int, until: int) -> "ResultColumns":
        """The results received in [since, until), as views."""
        first, last = self.event_time.searchsorted((since, until)).tolist()
        return ResultColumns(
            self.event_time[first:last], self.groups[first:last], self.measures[:, first:last]
        )

    def measure(self, name: str) -> Doubles:
        """One of MEASURES."""
        values: Doubles = self.measures[MEASURES.index(name)]
        return values

    @property
    def is_success(self) -> NDArray[np.bool_]:
        """Which AI results count in the median round trip; as in the view `scored_results`."""
        is_success: NDArray[np.bool_] = (self.measure("success_rate") == 1) & (
            self.measure("round_trip_time") != 0
        )
        return is_success


class PipelineOccurrences(Struct, frozen=True):
    """The pipelines and models that results list. One element for every result with a region, scored or not.

    event_time -- microseconds since 2000, ascending
    occurrences -- of the GroupIndex; -1 for a result that lists none or does not count
    """

    event_time: Indices
    occurrences: Indices

    def between(self, since: int, until: int) -> "PipelineOccurrences":
        """Those received in [since, until), as views."""
        first, last = self.event_time.searchsorted((since, until)).tolist()
        return PipelineOccurrences(self.event_time[first:last], self.occurrences[first:last])


class Results(Struct, frozen=True):
    """The results of a range of receipt time."""

    scored: Mapping[JobType, ResultColumns]
    occurrences: PipelineOccurrences

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        structs = (*self.scored.values(), self.occurrences)
        return sum(getattr(each, name).nbytes for each in structs for name in each.__struct_fields__)


class SlidingArrays:
    """Arrays of equal length in the last dimension, the first one ascending, with spare capacity at the end."""

    def __init__(self, *kinds: DTypeLike, rows: int = 0) -> None:
        """One array of shape (n,) for each of `kinds`; with `rows`, one more of doubles of shape (rows, n)."""
        self._arrays: list[NDArray[Any]] = [np.empty(0, kind) for kind in kinds]
        if rows:
            self._arrays.append(np.empty((rows, 0)))
        self._first = self._last = 0

    @property
    def capacity(self) -> int:
        """The number of items that fit without a new allocation."""
        return len(self._arrays[0])

    def arrays(self) -> list[NDArray[Any]]:
        """The items, as views that are valid until the next change."""
        return [array[..., self._first : self._last] for array in self._arrays]

    def replace(self, since: int, arrays: Sequence[NDArray[Any]]) -> None:
        """Replace the items whose first value is at least `since`."""
        self._last = self._first + int(self.arrays()[0].searchsorted(since))
        number = len(arrays[0])
        if self._last + number > self.capacity:
            self._reallocate(self._last - self._first + number)
        for array, new in zip(self._arrays, arrays, strict=True):
            array[..., self._last : self._last + number] = new
        self._last += number

    def drop_before(self, since: int) -> None:
        """Remove the items whose first value is below `since`."""
        self._first += int(self.arrays()[0].searchsorted(since))
        remaining = self._last - self._first
        if self.capacity > 4 * remaining + _MIN_CAPACITY:
            self._reallocate(remaining)

    def _reallocate(self, number: int) -> None:
        """Move the items to arrays with room for a number of items and a quarter more."""
        capacity = max(_MIN_CAPACITY, number * 5 // 4)
        moved = self.arrays()
        self._first, self._last = 0, len(moved[0])
        for index, array in enumerate(moved):
            self._arrays[index] = np.empty((*array.shape[:-1], capacity), array.dtype)
            self._arrays[index][..., : self._last] = array


class ResultReader:
    """Reads rows of `result_columns`. Remembers what each distinct ResultKey counts for, in RESULT_KEYS_BYTES."""

    def __init__(self, index: GroupIndex) -> None:
        self._index = index
        self._by_key: dict[ResultKey, int] = {}
        self._key_bytes = 0
        self._scopes = np.zeros((0, 3), np.int64)

    async def read(self, row: asyncpg.Record) -> Results:
        """The results of a row. Raises DatabaseUnavailableError if a new region can't be read."""
        event_time = _integers(row["event_time"], ">i8")
        is_scored = np.frombuffer(row["is_scored"] or b"", np.bool_)
        scopes = await self._scopes_of(row["keys"] or b"", _integers(row["key_lengths"], ">i4"))
        measures = np.array([np.frombuffer(row[name] or b"", ">f8") for name in MEASURES], np.float64)
        scored = {}
        for index, job_type in enumerate(JobType):
            own = np.flatnonzero(is_scored & (scopes[:, 0] == index))
            scored[job_type] = ResultColumns(event_time[own], scopes[own, 1], measures[:, own])
        return Results(scored, PipelineOccurrences(event_time, np.where(is_scored, scopes[:, 2], _NONE)))

    async def _scopes_of(self, keys: bytes, lengths: Indices) -> Indices:
        """The Scope of each result as integers: job type, group, occurrence; -1 for None. Shape (results, 3).

        keys -- the ResultKey of each, concatenated; lengths -- of each, in bytes
        """
        ends = np.cumsum(lengths)
        starts = ends - lengths

        def each() -> Iterator[ResultKey]:  # one at a time, as there may be 300,000
            return (keys[start:end] for start, end in zip(starts.data, ends.data, strict=True))

        distinct = set(each())
        if self._key_bytes > limits.RESULT_KEYS_BYTES:
            self._by_key, self._scopes, self._key_bytes = {}, np.zeros((0, 3), np.int64), 0
        while missing := distinct - self._by_key.keys():  # another read may have forgotten some meanwhile
            await self._learn(missing)
        known = self._by_key
        return self._scopes[np.fromiter((known[key] for key in each()), np.int64, len(lengths))]

    async def _learn(self, keys: Set[ResultKey]) -> None:
        if not keys:
            return
        codes = await self._index.region_codes({_region_id_of(key) for key in keys})
        new = [key for key in keys if key not in self._by_key]
        first, encoded = len(self._scopes), np.full((len(new), 3), _NONE)
        encoded[:, 1] = 0
        places, groups = list[int](), list[tuple[Pair, PipelineModel]]()
        for at, key in enumerate(new):
            scope = self._scope_of(key, codes)
            if scope is None:
                continue
            if scope.job_type is not None:
                encoded[at, 0] = _JOB_TYPES[scope.job_type]
                places.append(at)
                groups.append(scope.group)
            if scope.occurrence is not None:
                encoded[at, 2] = self._index.occurrence(scope.occurrence)
        encoded[places, 1] = self._index.groups(groups)
        self._scopes = np.concatenate([self._scopes, encoded])
        self._key_bytes += sum(map(len, new)) + _KEY_BYTES * len(new)
        self._by_key.update(zip(new, range(first, len(self._scopes)), strict=True))

    def _scope_of(self, key: ResultKey, codes: Mapping[int, str]) -> Scope | None:
        region_id = _region_id_of(key)
        orchestrator, pipeline, model = key[4:].decode().split("\0")
        job_type = self._index.job_type_of(region_id)
        return scope_of((orchestrator, codes[region_id]), pipeline, model, job_type)


def _region_id_of(key: ResultKey) -> int:
    return int.from_bytes(key[:4], "big", signed=True)


def _integers(sent: bytes | None, kind: str) -> NDArray[Any]:
    return np.frombuffer(sent or b"", kind).astype(np.int64)
