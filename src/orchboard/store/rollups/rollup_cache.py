"""Cache of materialized buckets: sums, round trips, pipelines and raw results, read on demand."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from orchboard import limits
from orchboard.stats import JobType
from orchboard.store.postgres.clock import from_pg_time
from orchboard.store.postgres.reads import Reads
from orchboard.store.rollups.bucket_rows import fetch_bucket_rows
from orchboard.store.rollups.entry_cache import EntryCache
from orchboard.store.rollups.group_index import GroupIndex, Indices
from orchboard.store.rollups.result_columns import ResultReader, Results
from orchboard.store.rollups.statistics import GroupSums, RollupRebuiltError, RoundTrips, materialized_sums
from orchboard.store.rollups.window_plan import BucketKey, Coverage, WindowPlan
from orchboard.store.sql_files import sql

# Cost in rows read from the database, of which 10,000 take about 5 ms. Reading a bucket costs a share of a statement and its
# sums, which are far fewer than its results; each result of an edge is a row.
_BUCKET_ROWS, _RESULTS_PER_ROW = 200, 50

# Unmaterialized results are read one by one. Their number is an estimate, and usually there are none.
_MAX_UNMATERIALIZED_ROWS = 50_000

# Cost of the arithmetic and of the response, even if everything is in memory.
_ANSWER_ROWS = 3_000

# Buckets whose sums are read at once while their size is unknown.
_FIRST_READ = 4

Kind: TypeAlias = tuple[Hashable, ...]
"""A kind of entry: ROUND_TRIPS, PIPELINES, RESULTS or a `sums_kind`."""

ROUND_TRIPS, PIPELINES, RESULTS = ("round_trips",), ("pipelines",), ("results",)

T = TypeVar("T")


def sums_kind(job_type: JobType) -> Kind:
    """The kind of `RollupCache.sums`."""
    return "sums", job_type


class RollupCache:
    """Contents of materialized buckets: at most ROLLUP_CACHE_BYTES of those used last, for ROLLUP_CACHE_IDLE_S.

    A rebuilt bucket has another key. All reads raise RollupRebuiltError and DatabaseUnavailableError.
    """

    def __init__(self, database: Reads, index: GroupIndex, reader: ResultReader) -> None:
        self._database = database
        self._index = index
        self._reader = reader
        self._entries = EntryCache(limits.ROLLUP_CACHE_BYTES, limits.ROLLUP_CACHE_IDLE_S)
        self._largest_sums = 0  # bytes of one bucket
        self._locks: defaultdict[Hashable, asyncio.Lock] = defaultdict(asyncio.Lock)

    def cost_of(self, plan: WindowPlan, coverage: Coverage, kinds: Iterable[Kind]) -> int:
        """Rows to read and add up for a plan; entries in memory cost nothing. Takes about 10 us."""
        rows = float(_ANSWER_ROWS)
        for kind in kinds:
            for bucket in plan.buckets:
                if (*kind, bucket) not in self._entries:
                    rows += _BUCKET_ROWS + coverage.results_of(bucket) / _RESULTS_PER_ROW
        for partial in plan.partial_buckets:
            if (*RESULTS, partial.bucket) not in self._entries:
                rows += _BUCKET_ROWS + coverage.results_of(partial.bucket)
        unmaterialized = sum(until - since for since, until in plan.unmaterialized)
        return int(rows + min(unmaterialized * coverage.results_per_microsecond, _MAX_UNMATERIALIZED_ROWS))

    async def sums(self, buckets: Sequence[BucketKey], job_type: JobType) -> AsyncIterator[GroupSums]:
        """The sums of each bucket for one job type, in order; about ROLLUP_READ_BYTES of them are read at once."""

        async def read(missing: Sequence[BucketKey]) -> Mapping[BucketKey, tuple[GroupSums, int]]:
            rows = await fetch_bucket_rows(self._database, "bucket_sums", missing, job_type)
            await self._index.learn_ids([row["groups"] for of_bucket in rows.values() for row in of_bucket])
            found = {}
            for bucket, of_bucket in rows.items():
                sums = await materialized_sums(of_bucket, self._index)
                found[bucket] = sums, sums.size
            self._largest_sums = max(self._largest_sums, *(size for _, size in found.values()))
            return found

        first = 0
        while first < len(buckets):
            at_once = limits.ROLLUP_READ_BYTES // self._largest_sums if self._largest_sums else _FIRST_READ
            part = buckets[first : first + max(at_once, 1)]
            for sums in await self._get(sums_kind(job_type), part, read):
                yield sums
            first += len(part)

    async def round_trips(self, buckets: Sequence[BucketKey]) -> list[list[RoundTrips]]:
        """The round trips of each bucket's successful AI results: a list for each pipeline, model and region."""

        async def read(missing: Sequence[BucketKey]) -> Mapping[BucketKey, tuple[list[RoundTrips], int]]:
            found = {}
            for bucket, of_bucket in (
                await fetch_bucket_rows(self._database, "bucket_round_trips", missing)
            ).items():
                codes = await self._index.region_codes({row["region_id"] for row in of_bucket})
                lists = [RoundTrips.of_row(row, codes[row["region_id"]]) for row in of_bucket]
                found[bucket] = lists, sum(each.size for each in lists)
            return found

        return await self._get(ROUND_TRIPS, buckets, read)

    async def pipelines(self, buckets: Sequence[BucketKey]) -> list[Indices]:
        """The pipelines and models of each bucket: indices in the GroupIndex's `occurrences`."""

        async def read(missing: Sequence[BucketKey]) -> Mapping[BucketKey, tuple[Indices, int]]:
            found = {}
            for bucket, of_bucket in (
                await fetch_bucket_rows(self._database, "bucket_pipelines", missing)
            ).items():
                parts = [
                    await self._index.occurrences_of(row["pipelines"], row["models"], row["region_ids"])
                    for row in of_bucket
                ]
                occurrences = np.concatenate([np.zeros(0, np.int64), *parts])
                found[bucket] = occurrences, occurrences.nbytes
            return found

        return await self._get(PIPELINES, buckets, read)

    async def results(self, bucket: BucketKey) -> Results:
        """The raw results of a bucket."""

        async def read(_: Sequence[BucketKey]) -> Mapping[BucketKey, tuple[Results, int]]:
            start = from_pg_time(bucket.start)
            [row] = await self._database.fetch(sql("edge_results"), bucket.granularity, start)
            if not row["is_materialized"] or row["revision"] != bucket.revision:
                raise RollupRebuiltError
            results = await self._reader.read(row)
            return {bucket: (results, results.size)}

        [results] = await self._get(RESULTS, [bucket], read)
        return results

    async def _get(
        self,
        kind: Kind,
        buckets: Sequence[BucketKey],
        read: Callable[[Sequence[BucketKey]], Awaitable[Mapping[BucketKey, tuple[T, int]]]],
    ) -> list[T]:
        """The entries of a kind, one for each bucket. Missing ones are read by one caller for all (single-flight)."""
        found = self._find(kind, buckets)
        if len(found) < len(buckets):
            async with self._locks[kind]:
                found |= self._find(kind, [bucket for bucket in buckets if bucket not in found])
                if missing := [bucket for bucket in buckets if bucket not in found]:
                    for bucket, (item, size) in (await read(missing)).items():
                        found[bucket] = item
                        self._entries.add((*kind, bucket), item, size)
        return [found[bucket] for bucket in buckets]

    def _find(self, kind: Kind, buckets: Sequence[BucketKey]) -> dict[BucketKey, Any]:
        found = {bucket: self._entries.get((*kind, bucket)) for bucket in buckets}
        return {bucket: item for bucket, item in found.items() if item is not None}
