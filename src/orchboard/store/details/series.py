"""Indexes the series of stored results and of `rollup_series`."""

from collections.abc import Sequence

import asyncpg
import numpy as np
from numpy.typing import NDArray

from orchboard.stats import JobType, Series
from orchboard.store.details.result_details import ResultKey
from orchboard.store.details.series_index import SeriesIndex
from orchboard.store.details.series_keys import job_type_of
from orchboard.store.details.sums import NETWORK
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.reads import Reads
from orchboard.store.rollups.group_index import Indices, ranges_of, unique_sorted
from orchboard.store.sql_files import sql


class NamedSeries:
    """Indexes the series of stored results and of `rollup_series`."""

    def __init__(self, database: Reads, index: SeriesIndex, regions: RegionDirectory) -> None:
        self._database = database
        self._index = index
        self._regions = regions
        self._testers: dict[int, str] = {0: ""}
        self._by_id: NDArray[np.int32] = np.full(0, -1, np.int32)

    async def numbers_of(self, keys: Sequence[ResultKey]) -> Indices:
        """See SeriesNumbers. Raises DatabaseUnavailableError if a new region or tester can't be read."""
        names = np.array([self._index.orchestrators.number(key.orchestrator) for key in keys], np.int64)
        kinds: dict[ResultKey, int] = {}
        position = [kinds.setdefault(key.kind, len(kinds)) for key in keys]
        return await self._add(names, list(kinds), np.array(position, np.int64))

    def are_ai(self, numbers: Indices) -> NDArray[np.bool_]:
        """See SeriesNumbers."""
        column = self._index.column(job_type_of)
        return np.array([key is JobType.AI for key in column.keys], np.bool_)[column.of(numbers)]

    async def indices_of(self, ids: Indices) -> Indices:
        """The indices of series with some ids in `rollup_series`; reads those not seen before."""
        if not len(ids):
            return ids
        if (bound := int(ids.max()) + 1) > len(self._by_id):
            self._by_id = np.concatenate([self._by_id, np.full(bound - len(self._by_id), -1, np.int32)])
        if (unknown := unique_sorted(ids[self._by_id[ids] < 0], len(self._by_id))).size:
            await self._read(unknown)
        return self._by_id[ids].astype(np.int64)

    async def _read(self, ids: Indices) -> None:
        """Read the series with some ids, ascending."""
        rows = await self._database.fetch(sql("series"), *ranges_of(ids))
        lengths = [len(row["ids"]) // 4 for row in rows]
        names = np.repeat([self._index.orchestrators.number(row["orchestrator"]) for row in rows], lengths)
        kinds, position = _kinds_of(rows, lengths)
        self._by_id[_integers(rows, "ids")] = await self._add(names, kinds, position)

    async def _add(self, names: Indices, kinds: Sequence[ResultKey], position: Indices) -> Indices:
        """The indices of series; -1 for those of a region without a job type.

        names -- numbers of orchestrators; kinds -- without orchestrators; position -- of each series' kind in them
        """
        numbers = np.array(await self._kind_numbers(kinds), np.int64)[position]
        found = np.full(len(names), -1)
        known = numbers >= 0
        found[known] = self._index.indices_of(names[known], numbers[known])
        return found

    async def _kind_numbers(self, kinds: Sequence[ResultKey]) -> list[int]:
        """The number of each kind in the index; -1 for one that is in no series."""
        codes = await self._regions.codes_of({kind.region_id for kind in kinds})
        if any(kind.tester_id not in self._testers for kind in kinds):
            rows = await self._database.fetch(sql("tester_names"))
            self._testers.update((row["id"], row["name"]) for row in rows)
        numbers = []
        for kind in kinds:
            job_type = self._regions.job_type_of(kind.region_id)
            if job_type is None:
                numbers.append(-1)
                continue
            names = (kind.pipeline, kind.model) if job_type is JobType.AI else ("", "")
            tester = self._testers.get(kind.tester_id, "")
            series = Series(NETWORK, codes[kind.region_id], job_type, *names, tester)
            numbers.append(self._index.kind_number(series))
        return numbers


def _kinds_of(rows: Sequence[asyncpg.Record], lengths: Sequence[int]) -> tuple[list[ResultKey], Indices]:
    """The distinct kinds of the series of some rows of `series`, and the position in them of each series' kind."""
    jobs: dict[tuple[str, str, int], int] = {}
    of_row = [jobs.setdefault((row["pipeline"], row["model"], row["tester_id"]), len(jobs)) for row in rows]
    job, names = np.repeat(np.array(of_row, np.int64), lengths), list(jobs)
    region_ids = _integers(rows, "region_ids")
    distinct, position = np.unique(job << 32 | region_ids, return_inverse=True)
    kinds = []
    for each in distinct.tolist():
        pipeline, model, tester_id = names[each >> 32]
        kinds.append(ResultKey(NETWORK, each & 0xFFFFFFFF, pipeline, model, tester_id))
    return kinds, position


def _integers(rows: Sequence[asyncpg.Record], column: str) -> Indices:
    """The integers of a column of `series`, of all rows in their order."""
    return np.frombuffer(b"".join(row[column] for row in rows), ">i4").astype(np.int64)
