"""Builds the rollups: sums up each span of receipt time once the watermark has passed it, and again when it is invalid."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import asyncpg

from orchboard.store.connection.types import Connection
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
"""How far the watermark stays behind the database's clock: a result that is stored later than that costs a second sum."""

# How long a run waits for transactions that may have stored results before they saw the new watermark.
_SETTLE_S = 2.0

# How many invalidations are applied in one transaction, and how long a range may be for spans to be added in it: in a
# longer one nothing was inserted, only updated or deleted.
_MOST_INVALIDATIONS = 10_000
_LONGEST_INSERT = timedelta(days=1)

MINUTE_WORTH = 1000
"""So many results make a single minute worth summing up by itself."""

# Six hours first: they are soon done, and where a database is just taken over most of the last day is then there.
# Days and months are summed up from them.
_ORDER = (SIX_HOURS, HOUR, TEN_MINUTES, MINUTE, DAY, MONTH)

_MICROSECOND = timedelta(microseconds=1)

_ATTEMPTS = 4

EMPTY_SPANS = 100
"""So many spans without results are noted one by one, so that nobody need look there again; a longer gap is left out."""

READ_WHOLE = 1024
"""So many round trips are read as they are; of more, counts in buckets are read first."""


class RollupBuilder:
    """Sums up what is due, a span a transaction. Killed, it loses the span it was at and goes on with that.

    connection -- of its own
    grace -- see GRACE
    is_held_up -- whether the last run found a transaction open that kept the watermark from being used
    """

    is_held_up = False

    def __init__(self, connection: Connection, *, grace: timedelta = GRACE) -> None:
        self._connection = connection
        self._grace = grace
        self._since = EARLIEST
        self._settled_until = EARLIEST

    async def run(
        self, on_bucket: Callable[[Bucket], None] | None = None, *, since: datetime = EARLIEST
    ) -> int:
        """Sum up everything that is due, and forget short spans that are old; how many spans were looked at.

        A level that another process is at is left to it.
        since -- how far to go back in time; not worth it where old results wait to be moved
        """
        self._since = since
        self._settled_until = await self._raise_watermark()
        now = await self._connection.fetchval(sql("now"))
        for level in _ORDER:
            # Not from now: what ended a moment ago is before it, and is left open.
            first = level.start_of(now - self._grace)
            await self._connection.execute(sql("sealing_begin"), level.number, first)
        while await self._apply_invalidations():
            pass
        number = 0
        for level in _ORDER:
            while span := await self._seal_next_undisturbed(level):
                number += 1
                if on_bucket is not None:
                    on_bucket(span)
            if level.retention is not None:
                await self._connection.execute(sql("prune_spans"), level.number, now - level.retention)
        return number

    async def check(self, since: datetime, until: datetime, level: Granularity) -> list[Bucket]:
        """Count again what the spans of a level that start in [since, until) hold; those that were wrong.

        They are marked as invalid, and so is every shorter one in them and every longer one around them.
        """
        rows = await self._connection.fetch(sql("miscounted_spans"), level.number, since, until)
        wrong = [Bucket(level.number, row["span_start"], row["span_end"]) for row in rows]
        await self.invalidate([(span.start, span.end - _MICROSECOND) for span in wrong])
        return wrong

    async def invalidate(self, ranges: Sequence[tuple[datetime, datetime]]) -> None:
        """Have the spans that hold a moment of some ranges, both ends included, summed up again by the next run."""
        if ranges:
            since, until = zip(*ranges, strict=True)
            await self._connection.execute(sql("note_invalidations"), since, until)

    async def _raise_watermark(self) -> datetime:
        """Raise the watermark to a minute GRACE ago; up to where no result can arrive any more without a note of it.

        From the raise on, whoever stores a result before the watermark notes an invalidation with it. A transaction that
        stored one before saw the old watermark: so all that are running then must have ended.
        """
        connection = self._connection
        now = await connection.fetchval(sql("now"))
        target = MINUTE.start_of(now - self._grace)
        await connection.execute(sql("raise_watermark"), target)
        running = set(await connection.fetchval(sql("writing_transactions")))
        deadline, pause_s = asyncio.get_running_loop().time() + _SETTLE_S, 0.005
        while running:
            running.intersection_update(await connection.fetchval(sql("writing_transactions")))
            if not running:
                break
            if asyncio.get_running_loop().time() > deadline:
                self.is_held_up = True
                return await connection.fetchval(sql("sealed_until")) or EARLIEST
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.2)
        self.is_held_up = False
        return target

    async def _apply_invalidations(self) -> bool:
        """Mark the spans that pending invalidations touch, all or none; whether there were any.

        Within what was looked at, spans without results may have no row, and get one when a result was inserted there.
        """
        async with background_transaction(self._connection):
            reach = {row["level"]: row for row in await self._connection.fetch(sql("lock_sealing"))}
            rows = await self._connection.fetch(sql("pending_invalidations"), _MOST_INVALIDATIONS)
            if not rows:
                return False
            ranges = {(row["since"], row["until"]) for row in rows if row["since"] is not None}
            if ranges:
                await self._connection.execute(sql("invalidate_spans"), *zip(*_merged(ranges), strict=True))
            now = await self._connection.fetchval(sql("now"))
            spans = {
                span
                for since, until in ranges
                if until - since <= _LONGEST_INSERT
                for span in buckets_between(since, until, now=now)
                if span.level != MINUTE.number
                and reach[span.level]["sealed_since"] <= span.start
                and span.end <= reach[span.level]["sealed_until"]
            }
            await self._connection.execute(
                sql("add_spans"),
                [span.level for span in spans],
                [span.start for span in spans],
                [span.end for span in spans],
            )
            await self._connection.execute(sql("invalidations_applied"), [row["id"] for row in rows])
        return True

    async def _seal_next_undisturbed(self, level: Granularity) -> Bucket | None:
        """As _seal_next, again when it gave way to another process that numbers the same new series."""
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                return await self._seal_next(level)
            except asyncpg.DeadlockDetectedError:
                if not attempts_left:
                    raise
        raise AssertionError("the last attempt returned or raised")

    async def _seal_next(self, level: Granularity) -> Bucket | None:
        async with background_transaction(self._connection):
            reach = await self._connection.fetchrow(sql("sealing_lock"), level.number)
            if reach is None:
                return None
            span = await self._next_due(level, reach)
            if span is None:
                return None
            await self._connection.execute(
                sql("sealing_reach"),
                level.number,
                min(reach["sealed_since"], span.start),
                max(reach["sealed_until"], span.end),
            )
            if level is not MINUTE:
                await self.build(span)
            elif await self._is_worth_it(span):
                await self._seal_until(span)
        return span

    async def _is_worth_it(self, minute: Bucket) -> bool:
        """Whether a single minute holds enough; one that was summed up before is not asked."""
        number: int = await self._connection.fetchval(sql("count_results"), minute.start, minute.end)
        return number >= MINUTE_WORTH or await self._is_span(minute)

    async def _seal_until(self, minute: Bucket) -> None:
        """Sum up a minute, and those before it since ten minutes began: servers want them without a gap."""
        start = TEN_MINUTES.start_of(minute.start)
        while start < minute.start:
            earlier = Bucket(minute.level, start, MINUTE.end_of(start))
            if not await self._is_span(earlier):
                await self.build(earlier)
            start = earlier.end
        await self.build(minute)

    async def _is_span(self, span: Bucket) -> bool:
        return bool(await self._connection.fetchval(sql("is_span"), span.level, span.start))

    async def _next_due(self, level: Granularity, reach: asyncpg.Record) -> Bucket | None:
        """What to sum up next: what is invalid, then what has ended, then what was before."""
        ended_by = min(self._settled_until, reach["now"] - self._grace)
        again = await self._connection.fetchval(sql("next_unsealed"), level.number, ended_by)
        if again is not None:
            return Bucket(level.number, again, level.end_of(again))
        start = await self._next_after(level, reach["sealed_until"], reach["now"])
        if level.end_of(start) > ended_by:
            previous = await self._next_before(level, reach["sealed_since"], reach["now"])
            if previous is None:
                return None
            start = previous
        return Bucket(level.number, start, level.end_of(start))

    async def _next_after(self, level: Granularity, reached: datetime, now: datetime) -> datetime:
        """The start of the next span in time, with or without results; where none were for long, that of the next."""
        if level.retention is not None:
            reached = max(reached, level.start_of(now - level.retention))
        after = await self._connection.fetchval(sql("first_result"), reached)
        following = level.start_of(after or now)
        is_near = following - reached <= EMPTY_SPANS * (level.end_of(reached) - reached)
        return reached if is_near else following

    async def _next_before(self, level: Granularity, reached: datetime, now: datetime) -> datetime | None:
        """The same, backward; None when there are no results."""
        adjacent = level.start_of(reached - _MICROSECOND)
        if adjacent < self._since:
            return None  # without looking: where results were just moved away, an index is slow to look into
        earliest = self._since if level.retention is None else max(self._since, now - level.retention)
        before = await self._connection.fetchval(sql("last_result"), reached, earliest)
        if before is None or (previous := level.start_of(before)) < self._since:
            return None
        is_near = adjacent - previous <= EMPTY_SPANS * (reached - adjacent)
        return adjacent if is_near else previous

    async def build(self, span: Bucket) -> None:
        """Sum up one span, in a transaction that holds the lock of its level.

        What is committed after this has read the results was noted as an invalidation, which is applied later.
        """
        level_start, whole = (span.level, span.start), (span.level, span.start, span.end)
        execute = self._connection.execute
        await execute(sql("seal_span"), *whole)
        await execute(sql("seal_clear"), *level_start)
        results = await self._connection.fetchval(sql("seal_count"), *whole)
        if results and not await self._seal_from_parts(span, results):
            await execute(sql("seal_series"), span.start, span.end)
            await execute(sql("seal_segments"), *whole)
            await execute(sql("seal_round_trips"), *whole, READ_WHOLE)
            await execute(sql("seal_pipelines"), *whole)

    async def _seal_from_parts(self, span: Bucket, results: int) -> bool:
        parts = GRANULARITIES[span.level - 1] if span.level else None
        if parts is None or parts.retention is not None:
            return False
        # Imported when first needed: numpy takes 0.2 s.
        from orchboard.store.rollups.merge import seal_from_parts

        return await seal_from_parts(self._connection, span, parts, results=results, read_whole=READ_WHOLE)


def _merged(ranges: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Ranges without those that lie in another or follow it at once, in order."""
    found: list[tuple[datetime, datetime]] = []
    for since, until in sorted(ranges):
        if found and since <= found[-1][1] + _MICROSECOND:
            found[-1] = found[-1][0], max(found[-1][1], until)
        else:
            found.append((since, until))
    return found
