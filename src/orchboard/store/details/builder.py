"""DetailBuilder: builds the details of rollup buckets, once the bucket is materialized and again whenever it was rebuilt."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import pairwise

import numpy as np

from orchboard.store.connection.types import Connection
from orchboard.store.details.encoding import DetailRow, decode, encode
from orchboard.store.details.result_details import DetailResultReader, pages
from orchboard.store.details.running_sums import RunningSums
from orchboard.store.details.stored_series import StoredSeries
from orchboard.store.details.summary import NetworkSeries, encode_summary
from orchboard.store.details.sums import NETWORK, SeriesSums, add_up, renumber
from orchboard.store.postgres.watchdog import background_transaction
from orchboard.store.rollups.buckets import DAY, GRANULARITIES, Bucket, Granularity
from orchboard.store.rollups.builder import IncompletePartsError
from orchboard.store.rollups.group_index import is_run_start
from orchboard.store.sql_files import sql
from orchboard.window import EARLIEST

# Results that are read at once: they block the event loop for some 10 ms.
_PAGE = 5_000

# Orchestrators whose details are encoded and stored by one statement.
_STORED_AT_ONCE = 500


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
            name = row["orchestrator"]
            wanted = name != NETWORK or _has_round_trips_of_network(bucket)
            parts = await self._connection.fetch(sql("parts_details"), *within, name, wanted)
            total = add_up([decode(DetailRow(*part)) for part in parts])
            await self._insert(bucket, {name: total})
        return True

    async def _build_from_results(self, bucket: Bucket) -> None:
        """Build from the results."""
        series = StoredSeries(self._connection)
        reader = DetailResultReader(series)
        running = RunningSums()
        async for page in pages(self._connection.fetch, reader, bucket.start, bucket.end, _PAGE):
            running.add(reader.sums(page))
        total = running.total()
        del running, reader  # the results' keys, and each column twice
        shared = total if _has_round_trips_of_network(bucket) else total.without_round_trips()
        network = add_up([renumber(shared, series.pooled(shared.series))])
        ids = await series.store()
        for own in _by_orchestrator(total, series):
            await self._insert(bucket, {name: renumber(sums, ids[sums.series]) for name, sums in own.items()})
        if len(network.series):
            await self._insert(bucket, {NETWORK: renumber(network, ids[network.series])})

    async def _insert(self, bucket: Bucket, details: Mapping[str, SeriesSums]) -> None:
        """Store the details of some orchestrators; NETWORK for all of them."""
        has_summary = _has_round_trips_of_network(bucket)
        rows = [
            (name, *encode(sums), await self._summary(sums) if name == NETWORK and has_summary else None)
            for name, sums in details.items()
        ]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 5
        await self._connection.execute(sql("insert_details"), bucket.granularity, bucket.start, *columns)

    async def _summary(self, network: SeriesSums) -> bytes:
        rows = await self._connection.fetch(sql("network_series"), network.series.tolist())
        series = {row["id"]: NetworkSeries(row["job_type"], row["pipeline"], row["model"]) for row in rows}
        return encode_summary(network, series)


def _has_round_trips_of_network(bucket: Bucket) -> bool:
    """Whether a bucket has the round trips and the summary of the network: those of a month are only in its days, to bound the memory."""
    return bucket.granularity <= DAY.number


def _by_orchestrator(total: SeriesSums, series: StoredSeries) -> Iterator[dict[str, SeriesSums]]:
    """The sums of each orchestrator, of some orchestrators at a time."""
    owner, _ = series.table.parts_of(total.series)
    order = np.argsort(owner, kind="stable")
    edges = [*np.flatnonzero(is_run_start(owner[order])).tolist(), len(order)]
    names = series.table.orchestrators.all
    for first in range(0, len(edges) - 1, _STORED_AT_ONCE):
        runs = list(pairwise(edges[first : first + _STORED_AT_ONCE + 1]))
        some = order[runs[0][0] : runs[-1][1]]
        sums = total.select(some)
        yield {
            names[owner[order[since]]]: sums.select(np.arange(since, until) - runs[0][0])
            for since, until in runs
        }
