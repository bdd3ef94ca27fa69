"""Reads the details of materialized buckets, and holds them in memory."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orchboard import limits
from orchboard.stats import NameRange
from orchboard.store.details.encoding import DetailRow
from orchboard.store.details.grouped_rows import add_up_rows
from orchboard.store.details.plans import in_batches, share_read
from orchboard.store.details.result_details import DetailResultReader, ResultDetails
from orchboard.store.details.series import NamedSeries
from orchboard.store.details.summary import Summary, decode_summary
from orchboard.store.details.sums import NETWORK, SeriesSums, add_up
from orchboard.store.postgres.clock import from_pg_time
from orchboard.store.postgres.reads import Reads
from orchboard.store.rollups.bucket_rows import fetch_bucket_rows
from orchboard.store.rollups.buckets import DAY, MONTH, SIX_HOURS
from orchboard.store.rollups.entry_cache import EntryCache
from orchboard.store.rollups.statistics import RollupRebuiltError
from orchboard.store.rollups.window_plan import BucketKey, PartialBucket
from orchboard.store.sql_files import sql

# Results in a bucket of a busy network.
_USUAL_RESULTS = {SIX_HOURS.number: 7_000, DAY.number: 27_000, MONTH.number: 800_000}
_SHORT_RESULTS = 1_200

# Of a range of orchestrators: a fourth, and less, of what is read at once.
_RANGE_RESULTS, _SHORT_RANGE_RESULTS = 50_000, 5_000

_Unit = tuple[BucketKey, ...]
"""Buckets whose sums are held together."""


class Wanted(NamedTuple):
    """What is read of each bucket.

    orchestrators -- whose details: some orchestrators, with NETWORK for all of them pooled; None: each of all
    names -- only those in a range; None: all
    round_trips, errors -- whether with these
    """

    orchestrators: tuple[str, ...] | None
    round_trips: bool
    errors: bool = False
    names: NameRange | None = None

    def results_of(self, bucket: BucketKey) -> int:
        """About the number of results that are read of a bucket: bounds what is read at once."""
        if self.names is not None:  # ranges are chosen so that all have about as much in a long bucket
            return _RANGE_RESULTS if bucket.granularity >= SIX_HOURS.number else _SHORT_RANGE_RESULTS
        usual = _USUAL_RESULTS.get(bucket.granularity, _SHORT_RESULTS)
        return int(usual * share_read(self.orchestrators))


class BucketReader:
    """The details of buckets. All reads raise RollupRebuiltError and DatabaseUnavailableError."""

    def __init__(self, database: Reads, names: NamedSeries, results: DetailResultReader) -> None:
        self._database = database
        self._names = names
        self._results = results
        self._cache = EntryCache(limits.DETAIL_CACHE_BYTES, limits.DETAIL_CACHE_IDLE_S)

    async def totals(
        self, windows: Sequence[tuple[Sequence[BucketKey], bool]], wanted: Wanted
    ) -> list[SeriesSums]:
        """The sums of the buckets of some windows. Those that are held are not read again.

        windows -- buckets, and whether to hold their sums; those of the long ones are held by themselves too, as most later windows
            have them in common
        """
        units = [self._units(tuple(buckets), wanted, is_held=is_held) for buckets, is_held in windows]
        found: dict[_Unit, SeriesSums | None] = {
            unit: self._cache.get((unit, wanted)) for own in units for unit in own
        }
        missing = [unit for unit, sums in found.items() if sums is None]
        found |= dict(zip(missing, await self._read_units(missing, wanted), strict=True))
        totals = []
        for own, (buckets, is_held) in zip(units, windows, strict=True):
            parts = [sums for unit in own if (sums := found[unit]) is not None]
            totals.append(add_up(parts) if len(parts) > 1 else parts[0])
            if is_held:
                new = dict(zip(own, parts, strict=True)) | {tuple(buckets): totals[-1]}
                self._hold(
                    {unit: sums for unit, sums in new.items() if unit in missing or unit not in own}, wanted
                )
        return totals

    def _units(self, buckets: _Unit, wanted: Wanted, *, is_held: bool) -> list[_Unit]:
        """What the sums of some buckets are made of: all of them if they are held or will not be; else the long ones, and each short one."""
        short = [(bucket,) for bucket in buckets if bucket.granularity < SIX_HOURS.number]
        if not is_held or not short or (buckets, wanted) in self._cache:
            return [buckets]
        return [tuple(bucket for bucket in buckets if bucket.granularity >= SIX_HOURS.number), *short]

    def _hold(self, sums: Mapping[_Unit, SeriesSums], wanted: Wanted) -> None:
        for unit, total in sums.items():
            if total.size <= limits.DETAIL_CACHE_BYTES // 2:  # a larger one would evict all others
                self._cache.add((unit, wanted), total.alone(), total.size)

    async def _read_units(self, units: Sequence[_Unit], wanted: Wanted) -> list[SeriesSums]:
        """The sums of the buckets of each unit, read some at a time."""
        found: list[SeriesSums | None] = [None] * len(units)
        buckets = [(number, bucket) for number, unit in enumerate(units) for bucket in unit]
        for batch in in_batches(buckets, lambda each: wanted.results_of(each[1])):
            first, last = batch[0][0], batch[-1][0]
            rows = await self._fetch([bucket for _, bucket in batch], wanted)
            of_batch = [(number - first, row) for number, bucket in batch for row in rows[bucket]]
            parts = await add_up_rows(
                [row for _, row in of_batch],
                [number for number, _ in of_batch],
                last - first + 1,
                self._names.indices_of,
            )
            for number, part in enumerate(parts, first):
                before = found[number]
                found[number] = part if before is None else add_up([before, part])
        return [add_up([]) if sums is None else sums for sums in found]

    async def _fetch(
        self, buckets: Sequence[BucketKey], wanted: Wanted
    ) -> Mapping[BucketKey, Sequence[DetailRow]]:
        if wanted.round_trips and NETWORK in (wanted.orchestrators or ()):
            _check_round_trips(buckets)
        orchestrators, *rest, names = wanted
        if orchestrators is None:
            names = names or NameRange("", None)
            rows = await fetch_bucket_rows(
                self._database, "detail_buckets", buckets, *rest, names.first, names.end
            )
        else:
            rows = await fetch_bucket_rows(
                self._database, "detail_buckets_of", buckets, *rest, list(orchestrators)
            )
        return {
            bucket: [DetailRow(row["entries"], row["round_trips"], row["errors"]) for row in of_bucket]
            for bucket, of_bucket in rows.items()
        }

    async def summaries(self, buckets: Sequence[BucketKey]) -> list[Summary]:
        """The quantiles of the network's round trips in each bucket, in the order of FRACTIONS. buckets -- of at most a day"""
        _check_round_trips(buckets)
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


def _check_round_trips(buckets: Sequence[BucketKey]) -> None:
    """Check that buckets have round trips of the network: those of a month would be too many for one array."""
    if any(bucket.granularity > DAY.number for bucket in buckets):
        raise ValueError(
            "the round trips of the network in a month are only in its days: plan with `by_days`"
        )
