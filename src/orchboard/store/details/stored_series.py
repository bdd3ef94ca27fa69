"""StoredSeries: the series of a bucket whose details are being built."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orchboard.stats import JobType
from orchboard.store.connection.types import Connection
from orchboard.store.details.result_details import ResultKey
from orchboard.store.details.series_index import SeriesTable
from orchboard.store.details.sums import NETWORK
from orchboard.store.rollups.group_index import Indices
from orchboard.store.sql_files import sql

_ATTEMPTS = 5

# Series that are stored by one statement.
_STORED_AT_ONCE = 10_000


class StoredSeries:
    """Numbers the series of a bucket that is being built, and stores them in `rollup_series`.

    Numbers are local, from 0 on; `store` returns the ids that stand for them in the database. Job types are read after the results,
    whose regions exist then, and anew for each bucket: a region that gets another one invalidates all buckets first.

    table -- the series; a kind is a ResultKey without orchestrator
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._job_types: dict[int, JobType | None] = {}
        self.table = SeriesTable[ResultKey]()

    async def numbers_of(self, keys: Sequence[ResultKey]) -> Indices:
        """See SeriesNumbers."""
        if not self._job_types.keys() >= {key.region_id for key in keys}:
            rows = await self._connection.fetch(sql("region_job_types"))
            self._job_types = {
                row["id"]: JobType(row["job_type"]) if row["job_type"] in set(JobType) else None
                for row in rows
            }
        names = np.array([self.table.orchestrators.number(key.orchestrator) for key in keys], np.int64)
        kinds = np.array([self._kind_number(key.kind) for key in keys], np.int64)
        found, is_known = np.full(len(keys), -1), kinds >= 0
        found[is_known] = self.table.indices_of(names[is_known], kinds[is_known])
        return found

    def are_ai(self, numbers: Indices) -> NDArray[np.bool_]:
        """See SeriesNumbers."""
        _, kinds = self.table.parts_of(numbers)
        of_kind = [self._job_types[kind.region_id] is JobType.AI for kind in self.table.kinds]
        return np.array(of_kind, np.bool_)[kinds]

    def _kind_number(self, kind: ResultKey) -> int:
        job_type = self._job_types.get(kind.region_id)
        if job_type is None:
            return -1
        return self.table.kind_number(
            kind if job_type is JobType.AI else kind._replace(pipeline="", model="")
        )

    def pooled(self, series: Indices) -> Indices:
        """The network's series that each series belongs to."""
        _, kinds = self.table.parts_of(series)
        return self.table.indices_of(np.full(len(kinds), self.table.orchestrators.number(NETWORK)), kinds)

    async def store(self) -> Indices:
        """The id of each series in the database, by number; adds those that have none."""
        table = self.table
        ranks = _ranks(table.kinds)[table.kind] + table.orchestrators.ranks()[table.orchestrator] * len(
            table.kinds
        )
        order = np.argsort(ranks)
        ids = np.zeros(len(order), np.int64)
        for first in range(0, len(order), _STORED_AT_ONCE):
            some = order[first : first + _STORED_AT_ONCE]
            ids[some] = await self._store(some)
        return ids

    async def _store(self, series: Indices) -> Indices:
        """The ids of some series, given in the order of their keys."""
        orchestrators, kinds = self.table.parts_of(series)
        names = [self.table.orchestrators.all[each] for each in orchestrators.tolist()]
        keys = [self.table.kinds[each] for each in kinds.tolist()]
        columns = [list(column) for column in zip(*keys, strict=True)]
        ids = np.zeros(len(series), np.int64)
        for _ in range(_ATTEMPTS):  # again if another builder has added some meanwhile
            rows = await self._connection.fetch(sql("add_series"), names, *columns[1:])
            for row in rows:
                ids[row["number"] - 1] = row["id"]
            if len(rows) == len(series):
                return ids
        raise RuntimeError("series were not stored")


def _ranks(kinds: Sequence[ResultKey]) -> Indices:
    """The position of each kind in their order."""
    ranks = np.zeros(len(kinds), np.int64)
    ranks[sorted(range(len(kinds)), key=kinds.__getitem__)] = np.arange(len(kinds))
    return ranks
