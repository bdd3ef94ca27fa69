"""DetailBuilder: builds the details of rollup buckets, once the bucket is materialized and again whenever it was rebuilt."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from orchboard.stats import JobType
from orchboard.store.connection.types import Connection
from orchboard.store.details.encoding import DetailRow, decode, encode
from orchboard.store.details.result_details import DetailResultReader, ResultKey, pages
from orchboard.store.details.summary import NetworkSeries, encode_summary
from orchboard.store.details.sums import NETWORK, SeriesSums, add_up, renumber
from orchboard.store.postgres.watchdog import background_transaction
from orchboard.store.rollups.buckets import GRANULARITIES, Bucket, Granularity
from orchboard.store.rollups.builder import IncompletePartsError
from orchboard.store.rollups.group_index import Indices
from orchboard.store.sql_files import sql
from orchboard.window import EARLIEST

# Results that are read at once: they block the event loop for some 10 ms.
_PAGE = 5_000

_ATTEMPTS = 5


class StoredSeries:
    """Numbers the series of a bucket that is being built, and stores them in `rollup_series`.

    Numbers are local, from 0 on; `store` returns the ids that stand for them in the database. Job types are read after the results,
    whose regions exist then, and anew for each bucket: a region that gets another one invalidates all buckets first.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._job_types: dict[int, JobType | None] = {}
        self.all: list[ResultKey] = []
        self._numbers: dict[ResultKey, int] = {}

    async def numbers_of(self, keys: Sequence[ResultKey]) -> list[int]:
        """See SeriesNumbers."""
        if not self._job_types.keys() >= {key.region_id for key in keys}:
            rows = await self._connection.fetch(sql("region_job_types"))
            self._job_types = {
                row["id"]: JobType(row["job_type"]) if row["job_type"] in set(JobType) else None
                for row in rows
            }
        return [self._number_of(key) for key in keys]

    def are_ai(self, numbers: Indices) -> NDArray[np.bool_]:
        """See SeriesNumbers."""
        job_types = (self._job_types[self.all[number].region_id] for number in numbers.tolist())
        return np.array([job_type is JobType.AI for job_type in job_types], np.bool_)

    def _number_of(self, key: ResultKey) -> int:
        job_type = self._job_types.get(key.region_id)
        if job_type is None:
            return -1
        return self.number(key if job_type is JobType.AI else key._replace(pipeline="", model=""))

    def number(self, key: ResultKey) -> int:
        """The number of a series; a new one if it was not seen before."""
        number = self._numbers.setdefault(key, len(self.all))
        if number == len(self.all):
            self.all.append(key)
        return number

    async def store(self) -> list[int]:
        """The id of each series in the database, by number; adds those that have none."""
        order = sorted(range(len(self.all)), key=self.all.__getitem__)
        columns = [list(column) for column in zip(*(self.all[number] for number in order), strict=True)]
        ids = [0] * len(order)
        for _ in range(_ATTEMPTS):  # again if another builder has added some meanwhile
            rows = await self._connection.fetch(sql("add_series"), *columns) if order else []
            for row in rows:
                ids[order[row["number"] - 1]] = row["id"]
            if len(rows) == len(order):
                return ids
        raise RuntimeError("series were not stored")


class DetailBuilder:
    """Builds missing and outdated details, one bucket in a transaction, the latest first. A crash loses one bucket's work.

    connection -- used by nothing else
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def run(
        self, on_bucket: Callable[[Bucket], None] | None = None, *, limit: int | None = None
    ) -> int:
        """Build the details of all materialized buckets; returns their number.

        The shortest buckets first, also those that are materialized meanwhile: a first build of long ones takes many minutes.

        limit -- the maximum number of buckets
        """
        now: datetime = await self._connection.fetchval(sql("now"))
        since = {each: EARLIEST if each.retention is None else now - each.retention for each in GRANULARITIES}
        built = 0
        with suppress(IncompletePartsError):  # another process builds them: continued in the next run
            while built != limit and (bucket := await self._build_next(since)):
                built += 1
                if on_bucket is not None:
                    on_bucket(bucket)
        for granularity in GRANULARITIES:
            if granularity.retention is not None:
                await self._connection.execute(sql("prune_details"), granularity.number, since[granularity])
        return built

    async def _build_next(self, since: Mapping[Granularity, datetime]) -> Bucket | None:
        """Build the next bucket of the shortest granularity that has one. since -- the earliest start"""
        async with background_transaction(self._connection):
            numbers = [granularity.number for granularity in since]
            row = await self._connection.fetchrow(sql("next_without_details"), numbers, list(since.values()))
            if row is None:
                return None
            bucket = Bucket(row["granularity"], row["bucket_start"], row["bucket_end"])
            await self._connection.execute(sql("clear_details"), bucket.granularity, bucket.start)
            if row["results"] and not await self._build_from_parts(bucket, row["results"]):
                if await self._connection.fetchval(sql("is_final_in_part"), bucket.start, bucket.end):
                    raise IncompletePartsError
                await self._build_from_results(bucket)
            await self._connection.execute(sql("set_details_revision"), bucket.granularity, bucket.start)
        return bucket

    async def _build_from_parts(self, bucket: Bucket, results: int) -> bool:
        """Build from the details of the next shorter granularity; False if they do not hold all results."""
        if not bucket.granularity:
            return False
        within = bucket.granularity - 1, bucket.start, bucket.end
        if not await self._connection.fetchval(sql("detail_parts"), *within, results):
            return False
        for row in await self._connection.fetch(sql("parts_orchestrators"), *within):
            parts = await self._connection.fetch(sql("parts_details"), *within, row["orchestrator"])
            total = add_up([decode(DetailRow(*part)) for part in parts])
            await self._insert(bucket, {row["orchestrator"]: total})
        return True

    async def _build_from_results(self, bucket: Bucket) -> None:
        """Build from the results."""
        series = StoredSeries(self._connection)
        reader = DetailResultReader(series)
        total = add_up([])
        async for page in pages(self._connection.fetch, reader, bucket.start, bucket.end, _PAGE):
            total = add_up([total, reader.sums(page)])
        pooled = [series.number(series.all[number]._replace(orchestrator=NETWORK)) for number in total.series]
        network = add_up([renumber(total, pooled)])
        ids = np.array(await series.store(), np.int64)
        own = _by_orchestrator(total, series) | {NETWORK: network}
        await self._insert(
            bucket, {name: renumber(sums, ids[sums.series]) for name, sums in own.items() if len(sums.series)}
        )

    async def _insert(self, bucket: Bucket, details: Mapping[str, SeriesSums]) -> None:
        """Store the details of some orchestrators; NETWORK for all of them."""
        rows = [
            (name, *encode(sums), await self._summary(sums) if name == NETWORK else None)
            for name, sums in details.items()
        ]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 5
        await self._connection.execute(sql("insert_details"), bucket.granularity, bucket.start, *columns)

    async def _summary(self, network: SeriesSums) -> bytes:
        rows = await self._connection.fetch(sql("network_series"), network.series.tolist())
        series = {row["id"]: NetworkSeries(row["job_type"], row["pipeline"], row["model"]) for row in rows}
        return encode_summary(network, series)


def _by_orchestrator(total: SeriesSums, series: StoredSeries) -> dict[str, SeriesSums]:
    entries: dict[str, list[int]] = {}
    for entry, number in enumerate(total.series.tolist()):
        entries.setdefault(series.all[number].orchestrator, []).append(entry)
    return {name: total.select(np.array(own, np.int64)) for name, own in entries.items()}
