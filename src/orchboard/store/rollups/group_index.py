"""Dense process-local indices of rollup groups (orchestrator, region, pipeline, model), used in NumPy arrays."""

from collections.abc import Hashable, Mapping, Sequence, Set
from typing import TypeAlias, TypeVar

import asyncpg
import numpy as np
from numpy.typing import NDArray

from orchboard.stats import JobType
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.reads import Reads
from orchboard.store.rollups.pairs import KeyIndex, Names, Pair, Pairs
from orchboard.store.sql_files import sql

T = TypeVar("T", bound=Hashable)
Indices: TypeAlias = NDArray[np.int64]
"""Indices of a list, each at least 0 and less than its length."""
PipelineModel: TypeAlias = tuple[str, str]
"""A pipeline and a model; both empty for transcoding."""
Occurrence: TypeAlias = tuple[str, str, str]
"""A pipeline, a model and the code of a region that has a scored result of both."""


# np.unique and np.isin for indices below a known bound, mostly without a sort, and without loading numpy.ma.

# From so many times as many possible indices on, a sort is faster than marks.
_SPARSE = 16


def mask(indices: Indices | Sequence[int], bound: int) -> NDArray[np.bool_]:
    """True at each of the indices; shape (bound,)."""
    marks = np.zeros(bound, np.bool_)
    marks[np.asarray(indices, np.int64)] = True
    return marks


def unique_sorted(indices: Indices, bound: int) -> Indices:
    """The distinct indices, ascending."""
    return np.flatnonzero(mask(indices, bound))


def is_run_start(values: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether each value differs from the one before. As np.diff with `prepend`, in a third of the time for short arrays.

    >>> is_run_start(np.array([4, 4, 7, 4])).tolist()
    [True, False, True, True]
    """
    marks = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=marks[1:])
    return marks


def ranges_of(ids: Indices) -> tuple[list[int], list[int]]:
    """The first and the last of each run of consecutive ids. ids -- at least one, ascending

    >>> ranges_of(np.array([3, 4, 5, 9]))
    ([3, 9], [5, 9])
    """
    starts = np.flatnonzero(np.diff(ids, prepend=ids[0] - 2) != 1)
    ends = np.append(starts[1:], len(ids)) - 1
    return ids[starts].tolist(), ids[ends].tolist()


def unique_inverse(indices: Indices, bound: int) -> tuple[Indices, Indices]:
    """The distinct indices, ascending, and the position in them of each of `indices`."""
    if bound > _SPARSE * len(indices):
        order = np.argsort(indices, kind="stable")
        ordered = indices[order]
        starts = is_run_start(ordered)
        position = np.empty(len(indices), np.int64)
        position[order] = np.cumsum(starts) - 1
        return ordered[starts], position
    marks = mask(indices, bound)
    return np.flatnonzero(marks), (np.cumsum(marks) - 1)[indices]


# A key has the number of an orchestrator above that of its region, or the index of a pair above that of its model.
_LOW_BITS = 24
_LOW = (1 << _LOW_BITS) - 1


class GroupIndex:
    """Every group seen so far, with an index from 0 on without gaps.

    Indices differ from the ids in `rollup_groups`: a result that is in no rollup may belong to a group without an id.

    models, occurrences -- those seen so far, in the order in which they were seen
    """

    def __init__(self, database: Reads, regions: RegionDirectory) -> None:
        self._database = database
        self._regions = regions
        self.models: list[PipelineModel] = []
        self.occurrences: list[Occurrence] = []
        self._model_index: dict[PipelineModel, int] = {}
        self._occurrence_index: dict[Occurrence, int] = {}
        self._names, self._codes = Names(), Names()
        self._pairs, self._groups = KeyIndex(), KeyIndex()
        self._by_id: NDArray[np.int32] = np.full(0, -1, np.int32)
        self._pair_ranks: Indices = np.zeros(0, np.int64)
        self._sorted_pairs = Pairs.of([])

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def pairs(self) -> Pairs:
        """All pairs seen so far, by index."""
        keys = self._pairs.keys
        return Pairs(self._names, self._codes, keys >> _LOW_BITS, keys & _LOW)

    def pairs_and_models(self, groups: NDArray[np.integer]) -> tuple[Indices, Indices]:
        """For each group its index in `pairs` and its index in `models`."""
        keys = self._groups.keys[groups]
        return keys >> _LOW_BITS, keys & _LOW

    def pairs_where(self, orchestrator: str | None, region: str | None) -> NDArray[np.bool_]:
        """A mask of `pairs`: those of an orchestrator, of a region, or of both. At least one must be given."""
        keys = self._pairs.keys
        found = np.ones(len(keys), np.bool_)
        if orchestrator is not None:
            found &= keys >> _LOW_BITS == self._names.find(orchestrator)
        if region is not None:
            found &= keys & _LOW == self._codes.find(region)
        return found

    def sorted_pairs(self) -> tuple[Pairs, Indices]:
        """All pairs, sorted, and the rank of each of `pairs` in that order."""
        if len(self._pair_ranks) < len(self._pairs):
            pairs = self.pairs
            order = np.argsort(pairs.ranks())
            self._sorted_pairs = pairs.select(order)
            self._pair_ranks = np.empty(len(order), np.int64)
            self._pair_ranks[order] = np.arange(len(order))
        return self._sorted_pairs, self._pair_ranks

    async def region_codes(self, region_ids: Set[int]) -> Mapping[int, str]:
        """The region code for at least these ids."""
        return await self._regions.codes_of(region_ids)

    def job_type_of(self, region_id: int) -> JobType | None:
        """The job type of a region of which `region_codes` has the code; None for one that has no scores."""
        return self._regions.job_type_of(region_id)

    async def groups_of_ids(self, ids: Indices) -> Indices:
        """The groups with some ids in `rollup_groups`; reads those not seen before."""
        if not len(ids):
            return np.zeros(0, np.int64)
        self._make_room(ids)
        unknown = unique_sorted(ids[self._by_id[ids] < 0], len(self._by_id))
        if len(unknown):
            await self._read_groups(unknown)
        return self._by_id[ids].astype(np.int64)

    async def learn_ids(self, parts: Sequence[bytes]) -> None:
        """Read the groups with ids in some arrays of `rollup_sums`, unless they were seen before: one statement for all."""
        unknown = [np.zeros(0, np.int64)]
        for part in parts:
            ids = np.frombuffer(part, ">i4").astype(np.int64)
            self._make_room(ids)
            unknown.append(ids[self._by_id[ids] < 0])
        if any(map(len, unknown)):
            await self._read_groups(unique_sorted(np.concatenate(unknown), len(self._by_id)))

    def _make_room(self, ids: Indices) -> None:
        if (bound := int(ids.max(initial=-1)) + 1) > len(self._by_id):
            self._by_id = np.concatenate([self._by_id, np.full(bound - len(self._by_id), -1, np.int32)])

    async def _read_groups(self, ids: Indices) -> None:
        """Read the groups with some ids, ascending."""
        rows = await self._database.fetch(sql("groups"), *ranges_of(ids))
        found = np.frombuffer(b"".join(row["ids"] for row in rows), ">i4")
        self._by_id[found] = await self.groups_of_rows(rows)

    async def groups_of_rows(self, rows: Sequence[asyncpg.Record]) -> Indices:
        """The groups of some rows; new ones for those not seen before.

        rows -- with orchestrator, pipeline, model, and region_ids: bytes, 4 for each group
        """
        region_ids = np.frombuffer(b"".join(row["region_ids"] for row in rows), ">i4")
        lengths = np.array([len(row["region_ids"]) // 4 for row in rows], np.int64)
        names = np.array([self._names.number(row["orchestrator"]) for row in rows], np.int64)
        models = np.array([self.model((row["pipeline"], row["model"])) for row in rows], np.int64)
        codes = await self._codes_of_ids(region_ids)
        return self._add(np.repeat(names, lengths), codes, np.repeat(models, lengths))

    async def _codes_of_ids(self, region_ids: NDArray[np.integer]) -> Indices:
        """The number of each region's code."""
        present = np.sort(region_ids)
        present = present[is_run_start(present)]
        codes = await self._regions.codes_of(set(present.tolist()))
        numbers = np.array([self._codes.number(codes[each]) for each in present.tolist()], np.int64)
        found: Indices = numbers[present.searchsorted(region_ids)]
        return found

    def _add(self, names: Indices, codes: Indices, models: Indices) -> Indices:
        """The indices of groups; new ones for those not seen before."""
        pairs = self._pairs.indices_of(names << _LOW_BITS | codes)
        return self._groups.indices_of(pairs << _LOW_BITS | models)

    async def occurrences_of(
        self, pipelines: Sequence[str], models: Sequence[str], region_ids: Sequence[int]
    ) -> Indices:
        """The indices in `occurrences` of some combinations."""
        codes = await self._regions.codes_of(set(region_ids))
        regions = [codes[region_id] for region_id in region_ids]
        found = zip(pipelines, models, regions, strict=True)
        return np.array([self.occurrence(each) for each in found], np.int64)

    def groups(self, groups: Sequence[tuple[Pair, PipelineModel]]) -> Indices:
        """The indices of some groups; new ones for those not seen before."""
        numbers = [
            (self._names.number(name), self._codes.number(code), self.model(model))
            for (name, code), model in groups
        ]
        names, codes, models = np.array(numbers, np.int64).reshape(-1, 3).T
        return self._add(names, codes, models)

    def model(self, model: PipelineModel) -> int:
        """The index in `models`; a new one if it was not seen before."""
        return _index(model, self._model_index, self.models)

    def occurrence(self, occurrence: Occurrence) -> int:
        """The index in `occurrences`; a new one if it was not seen before."""
        return _index(occurrence, self._occurrence_index, self.occurrences)


def _index(item: T, indices: dict[T, int], items: list[T]) -> int:
    index = indices.setdefault(item, len(items))
    if index == len(items):
        items.append(item)
    return index
