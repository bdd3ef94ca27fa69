"""Reads the details of materialized buckets, and holds them in memory."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

from orchboard import limits
from orchboard.store.details.encoding import DetailRow, decode_all
from orchboard.store.details.plans import in_batches
from orchboard.store.details.result_details import DetailResultReader, ResultDetails
from orchboard.store.details.series import NamedSeries
from orchboard.store.details.summary import NetworkSeries, decode_summary
from orchboard.store.details.sums import SeriesSums, add_up, renumber
from orchboard.store.postgres.clock import from_pg_time
from orchboard.store.postgres.database import Database
from orchboard.store.rollups.bucket_rows import fetch_bucket_rows
from orchboard.store.rollups.buckets import DAY, MONTH, SIX_HOURS
from orchboard.store.rollups.entry_cache import EntryCache
from orchboard.store.rollups.statistics import RollupRebuiltError
from orchboard.store.rollups.window_plan import BucketKey, PartialBucket
from orchboard.store.sql_files import sql


class Wanted(NamedTuple):
    """What is read of each bucket.

    orchestrators -- whose details: some orchestrators, with NETWORK for all of them pooled; None: each of all
    round_trips, errors -- whether with these
    """

    orchestrators: tuple[str, ...] | None
    round_trips: bool
    errors: bool = False


_USUAL_RESULTS = {SIX_HOURS.number: 7_000, DAY.number: 27_000, MONTH.number: 800_000}
"""Results in a bucket of a busy network: bounds what is read at once."""


class BucketReader:
    """The details of buckets. All reads raise RollupRebuiltError and DatabaseUnavailableError."""

    def __init__(self, database: Database, names: NamedSeries, results: DetailResultReader) -> None:
        self._database = database
        self._names = names
        self._results = results
        self._cache = EntryCache(limits.DETAIL_CACHE_BYTES, limits.DETAIL_CACHE_IDLE_S)

    async def total(self, buckets: Sequence[BucketKey], wanted: Wanted) -> SeriesSums:
        """The sum of some buckets. It is held, and that of the long ones too: most windows have these in common for hours."""
        long = tuple(bucket for bucket in buckets if bucket.granularity >= SIX_HOURS.number)
        short = [bucket for bucket in buckets if bucket.granularity < SIX_HOURS.number]
        if not short:
            return await self._total_of_long(long, wanted)
        key = tuple(buckets), wanted
        held: SeriesSums | None = self._cache.get(key)
        return held or self._hold(
            key, add_up([await self._total_of_long(long, wanted), *await self._each(short, wanted)])
        )

    async def _total_of_long(self, buckets: tuple[BucketKey, ...], wanted: Wanted) -> SeriesSums:
        key = buckets, wanted
        held: SeriesSums | None = self._cache.get(key)
        if held is not None:
            return held
        found = add_up([])
        for batch in in_batches(buckets, lambda bucket: _USUAL_RESULTS[bucket.granularity]):
            part = await self.read(batch, wanted)
            found = add_up([found, *part.values()])
        return self._hold(key, found)

    def _hold(self, key: Hashable, total: SeriesSums) -> SeriesSums:
        if total.size <= limits.DETAIL_CACHE_BYTES // 2:  # a larger one would evict all others
            self._cache.add(key, total, total.size)
        return total

    async def _each(self, buckets: Sequence[BucketKey], wanted: Wanted) -> list[SeriesSums]:
        found = {bucket: self._cache.get((bucket, wanted)) for bucket in buckets}
        missing = [bucket for bucket, sums in found.items() if sums is None]
        if missing:
            for bucket, sums in (await self.read(missing, wanted)).items():
                self._cache.add((bucket, wanted), sums, sums.size)
                found[bucket] = sums
        return list(found.values())

    async def read(self, buckets: Sequence[BucketKey], wanted: Wanted) -> Mapping[BucketKey, SeriesSums]:
        """The sums of each of some buckets; not held."""
        orchestrators, *rest = wanted
        if orchestrators is None:
            rows = await fetch_bucket_rows(self._database, "detail_buckets", buckets, *rest)
        else:
            rows = await fetch_bucket_rows(
                self._database, "detail_buckets_of", buckets, *rest, list(orchestrators)
            )
        return {
            bucket: await self._decoded(
                [DetailRow(row["entries"], row["round_trips"], row["errors"]) for row in of_bucket]
            )
            for bucket, of_bucket in rows.items()
        }

    async def _decoded(self, rows: Sequence[DetailRow]) -> SeriesSums:
        """The sums of one bucket. Two stored series may be one here: of two testers with the same name, one after the other."""
        stored = decode_all(rows)
        return add_up([renumber(stored, await self._names.indices_of(stored.series))])

    async def summaries(self, buckets: Sequence[BucketKey]) -> list[Mapping[NetworkSeries, Sequence[float]]]:
        """The quantiles of the network's round trips in each bucket, in the order of FRACTIONS."""
        rows = await fetch_bucket_rows(self._database, "detail_summaries", buckets)
        found = {
            bucket: decode_summary(of_bucket[0]["summary"] if of_bucket else None)
            for bucket, of_bucket in rows.items()
        }
        return [found[bucket] for bucket in buckets]

    async def partial(self, partial: PartialBucket) -> ResultDetails:
        """The results in a part of a bucket."""
        key = "results", partial.bucket
        if (found := self._cache.get(key)) is None:
            [row] = await self._database.fetch(
                sql("detail_edge"), partial.bucket.granularity, from_pg_time(partial.bucket.start)
            )
            if not row["is_materialized"] or row["revision"] != partial.bucket.revision:
                raise RollupRebuiltError
            found = await self._results.read(row)
            self._cache.add(key, found, found.size)
        results: ResultDetails = found
        return results.between(partial.since, partial.until)
