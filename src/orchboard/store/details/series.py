"""Series in this process: an index from 0 on for each, and what queries select of them."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import asyncpg
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from orchboard.stats import JobType, Series, SeriesQuery
from orchboard.store.details.result_details import ResultKey
from orchboard.store.details.series_keys import (
    job_type_of,
    model_name_of,
    orchestrator_of,
    pipeline_of,
    region_of,
    tester_name_of,
)
from orchboard.store.details.sums import NETWORK
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.reads import Reads
from orchboard.store.rollups.group_index import Indices, ranges_of, unique_inverse
from orchboard.store.sql_files import sql

K = TypeVar("K", bound=Hashable)


class SeriesColumn(Generic[K]):
    """A key of every series of an index. Grows with the index.

    keys -- the distinct keys, in the order in which they were seen
    number -- the position in `keys` of each series' key, shape (series,)
    """

    def __init__(self, key: Callable[[Series], K]) -> None:
        self.keys: list[K] = []
        self.number: Indices = np.zeros(0, np.int64)
        self._key = key
        self._numbers: dict[K, int] = {}

    def extend(self, series: Sequence[Series]) -> None:
        """Add the new series of an index. series -- all of the index"""
        new = [self._number_of(self._key(each)) for each in series[len(self.number) :]]
        if new:
            self.number = np.concatenate([self.number, np.array(new, np.int64)])

    def positions(self, keys: Sequence[K]) -> Indices:
        """The position in some distinct keys of each series' key; -1 for others."""
        position = np.full(len(self.keys), -1)
        known = [(self._numbers[key], at) for at, key in enumerate(keys) if key in self._numbers]
        for number, at in known:
            position[number] = at
        return position[self.number]

    def _number_of(self, key: K) -> int:
        number = self._numbers.setdefault(key, len(self.keys))
        if number == len(self.keys):
            self.keys.append(key)
        return number


class SeriesIndex:
    """Every series seen so far. Series are only added; `all[i]` has index i."""

    def __init__(self) -> None:
        self.all: list[Series] = []
        self._index: dict[Series, int] = {}
        self._masked: tuple[SeriesQuery, int] | None = None
        self._mask: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._pooled: Indices = np.zeros(0, np.int64)
        self._columns: dict[Callable[[Series], Any], SeriesColumn[Any]] = {}

    def __len__(self) -> int:
        return len(self.all)

    def of(self, series: Series) -> int:
        """The index of a series; a new one if it was not seen before."""
        index = self._index.setdefault(series, len(self.all))
        if index == len(self.all):
            self.all.append(series)
        return index

    def mask(self, query: SeriesQuery) -> NDArray[np.bool_]:
        """Which of `all` a query selects."""
        asked = query, len(self.all)
        if asked != self._masked:  # not that of the bucket before
            self._masked, self._mask = asked, self._select(query)
        return self._mask

    def _select(self, query: SeriesQuery) -> NDArray[np.bool_]:
        selected = np.ones(len(self.all), np.bool_)
        if query.orchestrators is not None:
            selected &= self.column(orchestrator_of).positions(list(query.orchestrators)) >= 0
        for key, value in (
            (job_type_of, query.job_type),
            (region_of, query.region),
            (pipeline_of, query.pipeline),
            (model_name_of, query.model),
            (tester_name_of, query.tester),
        ):
            if value is not None:
                selected &= self.column(key).positions([value]) >= 0
        return selected

    def pooled(self, series: Indices) -> Indices:
        """The network's series that each series belongs to."""
        while len(self._pooled) < len(self.all):
            new = [self.of(replace(each, orchestrator=NETWORK)) for each in self.all[len(self._pooled) :]]
            self._pooled = np.concatenate([self._pooled, np.array(new, np.int64)])
        return self._pooled[series]

    def column(self, key: Callable[[Series], K]) -> SeriesColumn[K]:
        """The keys of all series. key -- a function of a module: its column is kept, and each series is added once"""
        if key not in self._columns:
            self._columns[key] = SeriesColumn(key)
        column: SeriesColumn[K] = self._columns[key]
        column.extend(self.all)
        return column

    def grouped(self, series: Indices, key: Callable[[Series], K]) -> tuple[list[K], Indices]:
        """The distinct keys of some series, sorted, and the position in them of each series. key -- see `column`

        >>> index = SeriesIndex()
        >>> a, b = (index.of(Series(name, "FRA", JobType.AI, "p", "m", "")) for name in "ba")
        >>> keys, positions = index.grouped(np.array([a, b, a]), lambda series: series.orchestrator)
        >>> keys, positions.tolist()
        (['a', 'b'], [1, 0, 1])
        """
        column = self.column(key)
        present, position = unique_inverse(column.number[series], len(column.keys))
        keys = [column.keys[each] for each in present.tolist()]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        rank = np.empty(len(keys), np.int64)
        rank[order] = np.arange(len(keys))
        return [keys[each] for each in order], rank[position]


class NamedSeries:
    """Indexes the series of stored results and of `rollup_series`."""

    def __init__(self, database: Reads, index: SeriesIndex, regions: RegionDirectory) -> None:
        self._database = database
        self._index = index
        self._regions = regions
        self._testers: dict[int, str] = {0: ""}
        self._by_id: Indices = np.full(0, -1)

    async def numbers_of(self, keys: Sequence[ResultKey]) -> list[int]:
        """See SeriesNumbers. Raises DatabaseUnavailableError if a new region or tester can't be read."""
        codes = await self._regions.codes_of({key.region_id for key in keys})
        if any(key.tester_id not in self._testers for key in keys):
            rows = await self._database.fetch(sql("tester_names"))
            self._testers.update((row["id"], row["name"]) for row in rows)
        return [self._number_of(key, codes) for key in keys]

    def are_ai(self, numbers: Indices) -> NDArray[np.bool_]:
        """See SeriesNumbers."""
        column = self._index.column(job_type_of)
        return np.array([key is JobType.AI for key in column.keys], np.bool_)[column.number[numbers]]

    async def indices_of(self, ids: Indices) -> Indices:
        """The indices of series with some ids in `rollup_series`; reads those not seen before."""
        if not len(ids):
            return ids
        if (bound := int(ids.max()) + 1) > len(self._by_id):
            self._by_id = np.concatenate([self._by_id, np.full(bound - len(self._by_id), -1)])
        if (unknown := np.unique(ids[self._by_id[ids] < 0])).size:
            rows = await self._database.fetch(sql("series"), *ranges_of(unknown))
            numbers = await self.numbers_of([key for row in rows for key in _keys_of(row)])
            self._by_id[np.frombuffer(b"".join(row["ids"] for row in rows), ">i4")] = numbers
        return self._by_id[ids]

    def _number_of(self, key: ResultKey, codes: Mapping[int, str]) -> int:
        job_type = self._regions.job_type_of(key.region_id)
        if job_type is None:
            return -1
        names = (key.pipeline, key.model) if job_type is JobType.AI else ("", "")
        tester = self._testers.get(key.tester_id, "")
        return self._index.of(Series(key.orchestrator, codes[key.region_id], job_type, *names, tester))


def _keys_of(row: asyncpg.Record) -> Iterator[ResultKey]:
    """The keys of a row of `series`, in the order of its ids."""
    orchestrator, pipeline, model, tester_id = (
        row[name] for name in ("orchestrator", "pipeline", "model", "tester_id")
    )
    for region_id in np.frombuffer(row["region_ids"], ">i4").tolist():
        yield ResultKey(orchestrator, region_id, pipeline, model, tester_id)
