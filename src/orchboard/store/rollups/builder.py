"""Builds rollups: materializes each bucket once the watermark has passed it, and again after an invalidation."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import asyncpg

from orchboard import limits
from orchboard.store.citus.changes import collect_changes, raise_watermark, writing_transactions
from orchboard.store.connection.types import Connection
from orchboard.store.postgres.clock import MICROSECOND
from orchboard.store.postgres.watchdog import background_transaction
from orchboard.store.rollups.buckets import (
    DAY,
    GRANULARITIES,
    HOUR,
    MINUTE,
    MONTH,
    SIX_HOURS,
    TEN_MINUTES,
    Bucket,
    Granularity,
    buckets_between,
)
from orchboard.store.sql_files import sql
from orchboard.window import EARLIEST

GRACE = timedelta(seconds=60)
"""Lag of the watermark behind the database's clock. A result that is stored later invalidates its buckets."""


# The maximum number of invalidations applied in one transaction; and the longest range in which missing buckets are added: a
# longer one comes from an update or deletion, not from an insert.
_MAX_INVALIDATIONS = 10_000
_LONGEST_INSERT = timedelta(days=1)

MIN_MINUTE_RESULTS = 1000
"""A single minute with fewer results is not materialized."""

# Six hours first: they are quick, and cover most of the last day of a database that was just taken over. Days and months are
# merged from them.
BUILD_ORDER = (SIX_HOURS, HOUR, TEN_MINUTES, MINUTE, DAY, MONTH)


_ATTEMPTS = 4

MAX_EMPTY_BUCKETS = 100
"""Buckets without results are stored, so that no reader searches there; a gap of more buckets is skipped."""

MAX_UNCOUNTED = 1024
"""Maximum length of a list of round trips that is read whole; a longer one has counts by bin, which are read first."""


class IncompletePartsError(Exception):
    """A bucket can only be built from shorter ones, as a part of its results is not kept, and these are not complete."""


class RollupBuilder:
    """Builds the due buckets, one in a transaction. After a crash, the next run continues with the interrupted bucket.

    connection -- used by nothing else
    grace -- see GRACE
    is_blocked -- whether a transaction kept the last run from using the new watermark
    """

    is_blocked = False

    def __init__(self, connection: Connection, *, grace: timedelta = GRACE) -> None:
        self._connection = connection
        self._grace = grace
        self._since = EARLIEST
        self._watermark = EARLIEST

    async def run(
        self, on_bucket: Callable[[Bucket], None] | None = None, *, since: datetime = EARLIEST
    ) -> int:
        """Build every due bucket and delete short ones after their retention; returns the number of buckets considered.

        Skips a granularity that another process is building.
        since -- the earliest results to build; later than the first while old results wait to be moved
        """
        self._since = since
        self._watermark = await self._raise_watermark()
        now = await self._connection.fetchval(sql("now"))
        for granularity in BUILD_ORDER:
            # Before the grace period: a bucket that ended a moment ago would count as built, and is not due yet.
            first = granularity.start_of(now - self._grace)
            await self._connection.execute(sql("begin_granularity"), granularity.number, first)
        while await self._apply_invalidations():
            pass
        number = 0
        for granularity in BUILD_ORDER:
            while bucket := await self._build_next_with_retries(granularity):
                number += 1
                if on_bucket is not None:
                    on_bucket(bucket)
            if granularity.retention is not None:
                expired = now - granularity.retention
                await self._connection.execute(sql("prune_buckets"), granularity.number, expired)
        return number

    async def check(self, since: datetime, until: datetime, granularity: Granularity) -> list[Bucket]:
        """Count the results of the buckets that start in [since, until); returns those with a wrong count and no invalidation.

        Invalidates these, and the shorter and longer buckets that overlap them.
        """
        wrong = await self._miscounted(since, until, granularity)
        if wrong:
            await collect_changes(self._connection)  # may have the invalidations of some
            still = await self._miscounted(since, until, granularity)
            wrong = [bucket for bucket in wrong if bucket in still]
        await self.invalidate([(bucket.start, bucket.end - MICROSECOND) for bucket in wrong])
        return wrong

    async def _miscounted(self, since: datetime, until: datetime, granularity: Granularity) -> list[Bucket]:
        rows = await self._connection.fetch(sql("miscounted_buckets"), granularity.number, since, until)
        return [Bucket(granularity.number, row["bucket_start"], row["bucket_end"]) for row in rows]

    async def invalidate(self, ranges: Sequence[tuple[datetime, datetime]]) -> None:
        """Make the next run rebuild the buckets that overlap some ranges of receipt time, both ends included."""
        if ranges:
            since, until = zip(*ranges, strict=True)
            await self._connection.execute(sql("add_invalidations"), since, until)

    async def _raise_watermark(self) -> datetime:
        """Raise the watermark to a minute GRACE ago; returns the time before which no unnoticed result can arrive.

        From then on, an insert of a result before the watermark adds an invalidation. A transaction that inserted one earlier
        saw the old watermark, so all transactions that are running now must end first.
        """
        connection = self._connection
        now = await connection.fetchval(sql("now"))
        target = MINUTE.start_of(now - self._grace)
        await raise_watermark(connection, target)
        running = await writing_transactions(connection)
        deadline, pause_s = asyncio.get_running_loop().time() + limits.ROLLUP_SETTLE_S, 0.005
        while running:
            running &= await writing_transactions(connection)
            if not running:
                break
            if asyncio.get_running_loop().time() > deadline:
                self.is_blocked = True
                return await connection.fetchval(sql("materialized_until")) or EARLIEST
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.2)
        self.is_blocked = False
        await collect_changes(connection)
        return target

    async def _apply_invalidations(self) -> bool:
        """Invalidate the buckets that overlap pending invalidations, all or none; returns whether any were pending.

        An empty bucket may have no row. It gets one if a result was inserted into it.
        """
        async with background_transaction(self._connection):
            progress = {row["granularity"]: row for row in await self._connection.fetch(sql("lock_rollups"))}
            rows = await self._connection.fetch(sql("pending_invalidations"), _MAX_INVALIDATIONS)
            if not rows:
                return False
            ranges = {(row["since"], row["until"]) for row in rows if row["since"] is not None}
            if ranges:
                await self._connection.execute(sql("invalidate_buckets"), *zip(*_merged(ranges), strict=True))
            now = await self._connection.fetchval(sql("now"))
            buckets = {
                bucket
                for since, until in ranges
                if until - since <= _LONGEST_INSERT
                for bucket in buckets_between(since, until, now=now)
                if bucket.granularity != MINUTE.number
                and progress[bucket.granularity]["materialized_since"] <= bucket.start
                and bucket.end <= progress[bucket.granularity]["materialized_until"]
            }
            await self._connection.execute(
                sql("add_buckets"),
                [bucket.granularity for bucket in buckets],
                [bucket.start for bucket in buckets],
                [bucket.end for bucket in buckets],
            )
            await self._connection.execute(sql("mark_invalidations_applied"), [row["id"] for row in rows])
        return True

    async def _build_next_with_retries(self, granularity: Granularity) -> Bucket | None:
        """Build the next bucket; retries after a deadlock with another process that adds the same new groups.

        None also if it needs shorter buckets that are not built yet.
        """
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                return await self._build_next(granularity)
            except IncompletePartsError:
                return None
            except asyncpg.DeadlockDetectedError:
                if not attempts_left:
                    raise
        raise AssertionError("the last attempt returned or raised")

    async def _build_next(self, granularity: Granularity) -> Bucket | None:
        async with background_transaction(self._connection):
            progress = await self._connection.fetchrow(sql("lock_granularity"), granularity.number)
            if progress is None:
                return None
            bucket = await self._next_due(granularity, progress)
            if bucket is None:
                return None
            await self._connection.execute(
                sql("set_progress"),
                granularity.number,
                min(progress["materialized_since"], bucket.start),
                max(progress["materialized_until"], bucket.end),
            )
            if granularity is not MINUTE:
                await self.build(bucket)
            elif await self._is_worth_building(bucket):
                await self._build_minutes_until(bucket)
        return bucket

    async def _is_worth_building(self, minute: Bucket) -> bool:
        """Whether a single minute has enough results, or was built before."""
        number: int = await self._connection.fetchval(sql("count_results"), minute.start, minute.end)
        return number >= MIN_MINUTE_RESULTS or await self._exists(minute)

    async def _build_minutes_until(self, minute: Bucket) -> None:
        """Build a minute and the earlier ones of its ten minutes: the live tail begins after minutes without a gap."""
        start = TEN_MINUTES.start_of(minute.start)
        while start < minute.start:
            earlier = Bucket(minute.granularity, start, MINUTE.end_of(start))
            if not await self._exists(earlier):
                await self.build(earlier)
            start = earlier.end
        await self.build(minute)

    async def _exists(self, bucket: Bucket) -> bool:
        return bool(await self._connection.fetchval(sql("bucket_exists"), bucket.granularity, bucket.start))

    async def _next_due(self, granularity: Granularity, progress: asyncpg.Record) -> Bucket | None:
        """The next bucket to build: an invalid one, else the one after the range that was built, else the one before."""
        ended_by = min(self._watermark, progress["now"] - self._grace)
        start = await self._connection.fetchval(sql("next_invalid_bucket"), granularity.number, ended_by)
        if start is None:
            start = await self._next_after(granularity, progress["materialized_until"], progress["now"])
            if granularity.end_of(start) > ended_by:
                start = await self._next_before(granularity, progress["materialized_since"], progress["now"])
        return None if start is None else Bucket(granularity.number, start, granularity.end_of(start))

    async def _next_after(self, granularity: Granularity, reached: datetime, now: datetime) -> datetime:
        """The start of the following bucket, with or without results; after a long gap, of the next one with results."""
        if granularity.retention is not None:
            reached = max(reached, granularity.start_of(now - granularity.retention))
        after = await self._connection.fetchval(sql("first_result"), reached)
        following = granularity.start_of(after or now)
        is_near = following - reached <= MAX_EMPTY_BUCKETS * (granularity.end_of(reached) - reached)
        return reached if is_near else following

    async def _next_before(
        self, granularity: Granularity, reached: datetime, now: datetime
    ) -> datetime | None:
        """The start of the preceding bucket, likewise; None without earlier results."""
        adjacent = granularity.start_of(reached - MICROSECOND)
        if adjacent < self._since:
            return None  # no query: it is slow where results were just moved away, as the index is full of dead entries
        earliest = self._since
        if granularity.retention is not None:
            earliest = max(earliest, now - granularity.retention)
        before = await self._connection.fetchval(sql("last_result"), reached, earliest)
        if before is None or (previous := granularity.start_of(before)) < self._since:
            return None
        is_near = adjacent - previous <= MAX_EMPTY_BUCKETS * (reached - adjacent)
        return adjacent if is_near else previous

    async def build(self, bucket: Bucket) -> None:
        """Build one bucket, in a transaction that holds the lock of its granularity.

        A result that is committed after its results were read adds an invalidation, which is applied later.
        Raises IncompletePartsError.
        """
        key, whole = (bucket.granularity, bucket.start), (bucket.granularity, bucket.start, bucket.end)
        execute = self._connection.execute
        await execute(sql("build_bucket"), *whole)
        await execute(sql("build_clear"), *key)
        results = await self._connection.fetchval(sql("build_count"), *whole)
        if results and not await self._build_from_parts(bucket, results):
            if await self._connection.fetchval(sql("is_final_in_part"), bucket.start, bucket.end):
                raise IncompletePartsError
            await execute(sql("build_groups"), bucket.start, bucket.end)
            await execute(sql("build_sums"), *whole)
            await execute(sql("build_round_trips"), *whole, MAX_UNCOUNTED)
            await execute(sql("build_pipelines"), *whole)

    async def _build_from_parts(self, bucket: Bucket, results: int) -> bool:
        parts = GRANULARITIES[bucket.granularity - 1] if bucket.granularity else None
        if parts is None or parts.retention is not None:
            return False
        # Imported on first use: numpy takes 0.2 s.
        from orchboard.store.rollups.merge import build_from_parts

        return await build_from_parts(
            self._connection, bucket, parts, results=results, max_uncounted=MAX_UNCOUNTED
        )


def _merged(ranges: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """The union of some ranges, both ends included, as disjoint ranges in order."""
    found: list[tuple[datetime, datetime]] = []
    for since, until in sorted(ranges):
        if found and since <= found[-1][1] + MICROSECOND:
            found[-1] = found[-1][0], max(found[-1][1], until)
        else:
            found.append((since, until))
    return found
