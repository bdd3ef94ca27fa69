"""Maintenance of the database in the background: moves old results, builds rollups, checks them, deletes what is not kept."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

import asyncpg
import structlog
from msgspec import Struct

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError
from orchboard.runtime.supervised_tasks import TaskHealth
from orchboard.store.connection.failures import DATABASE_ERRORS, error_summary, unavailable
from orchboard.store.connection.types import Connection
from orchboard.store.legacy_import.backfill import backfill
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.watchdog import Watchdog
from orchboard.store.retention.policy import KEEP_EVERYTHING, PRUNE_EVERY_S, RetentionPolicy, apply
from orchboard.store.rollups.buckets import SIX_HOURS, TEN_MINUTES, Bucket
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.sql_files import sql
from orchboard.window import LATEST

log = structlog.get_logger(__name__)

EVERY_S = 10.0
CHECK_EVERY_S = 60.0


# Pause after each moved batch, as a multiple of its duration: leaves two thirds of a processor to queries.
_REST = 2.0


_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseUnavailableError)


class MaintenanceRound(Struct, frozen=True):
    """The work of one round.

    moved -- results moved from the table of the reference server; buckets -- rollup buckets considered or built
    is_done -- False if the time limit ended the round
    """

    moved: int
    buckets: int
    is_done: bool


class _TimeLimitError(Exception):
    """Raised between two steps of a round."""


class MaintenanceLoop:
    """Moves the results of a database that was taken over, then builds the rollups.

    Any number of servers may run it at once.
    """

    def __init__(self, database: Database, retention: RetentionPolicy = KEEP_EVERYTHING) -> None:
        self._database = database
        self._retention = retention
        self._pruned_at = -math.inf
        self._checked_since: datetime = LATEST
        self._checked_at = 0.0
        # Times, by time.monotonic, with the newest applied invalidation at each.
        self._applied: deque[tuple[float, int]] = deque()
        self._is_blocked = False

    async def run(self, health: TaskHealth) -> None:
        """Run rounds until cancelled; retries after a failure."""
        while True:
            try:
                await self._database.open()
                connection = await self._database.connect()
                try:
                    await self._run_once(connection, lambda _: health.progress(), rest=_REST)
                finally:
                    connection.terminate()
                health.succeed()
            except _FAILURES as error:
                health.fail(error_summary(error))
            await asyncio.sleep(EVERY_S)

    async def run_once(self, limit_s: float) -> MaintenanceRound:
        """Run one round; ends between two steps after `limit_s`, and inside a step after twice that.

        Raises DatabaseUnavailableError, SetupError.
        """
        loop = asyncio.get_running_loop()
        deadline, moved, buckets, is_done = loop.time() + limit_s, 0, 0, False

        def count(step: int | Bucket) -> None:
            nonlocal moved, buckets
            if isinstance(step, Bucket):
                buckets += 1
            else:
                moved += step
            if loop.time() > deadline:
                raise _TimeLimitError

        try:
            await self._database.open()
            connection = await self._database.connect()
            try:
                async with asyncio.timeout_at(deadline + limit_s):
                    # Repeats after a check that found wrong rollups: a scheduler's next call may be a day later.
                    while await self._run_once(connection, count):
                        pass
                is_done = True
            except (_TimeLimitError, TimeoutError):
                log.info("maintenance stopped at its time limit", moved=moved, buckets=buckets)
            finally:
                connection.terminate()
        except DATABASE_ERRORS as error:
            raise unavailable(error) from error
        return MaintenanceRound(moved, buckets, is_done)

    async def _run_once(
        self, connection: Connection, on_step: Callable[[int | Bucket], None], *, rest: float = 0.0
    ) -> bool:
        """Run one round; returns whether the next should follow at once, as wrong rollups were found."""
        watchdog = Watchdog(connection)

        def progress(step: int | Bucket) -> None:
            watchdog.beat()
            on_step(step)

        try:
            is_settled, found = await self._backfill(connection, progress, rest), False
            await _build_details(connection, progress)
            if is_settled and self._is_check_due():
                found = await self._check(connection)
            if is_settled and not found:
                await self._prune(connection, progress)
            await self._delete_old_invalidations(connection)
        finally:
            watchdog.stop()
        return found

    async def _backfill(
        self, connection: Connection, progress: Callable[[int | Bucket], None], rest: float
    ) -> bool:
        """Move results and build rollups; returns whether the old table is gone."""
        moved = 0

        def count(number: int) -> None:
            nonlocal moved
            if not moved:
                log.info("moving results into the new table")
            moved += number
            progress(number)

        builder = RollupBuilder(connection)
        is_settled = await backfill(connection, builder, rest=rest, on_batch=count, on_bucket=progress)
        if moved:
            log.info("moved results", results=moved, settled=is_settled)
        if builder.is_blocked is not self._is_blocked:
            self._is_blocked = builder.is_blocked
            if self._is_blocked:
                log.warning("rollups are delayed by a long-running transaction in this database")
            else:
                log.info("rollups are no longer delayed by a transaction")
        return is_settled

    async def _prune(self, connection: Connection, progress: Callable[[int | Bucket], None]) -> None:
        """Delete what is older than the retention policy allows, once an hour."""
        if self._retention == KEEP_EVERYTHING or time.monotonic() - self._pruned_at < PRUNE_EVERY_S:
            return
        await apply(self._retention, connection, progress)
        self._pruned_at = time.monotonic()

    def _is_check_due(self) -> bool:
        is_due = time.monotonic() - self._checked_at > CHECK_EVERY_S
        if is_due:
            self._checked_at = time.monotonic()
        return is_due

    async def _check(self, connection: Connection) -> bool:
        """Count the results of the last hour's buckets, and of older buckets of six hours for CHECK_S, at least of one; the next check
        continues before them. Returns whether any count was wrong, which means that results were changed without a trigger."""
        now: datetime = await connection.fetchval(sql("now"))
        deadline, builder = time.monotonic() + limits.CHECK_S, RollupBuilder(connection)
        wrong = await builder.check(now - timedelta(hours=1), now, TEN_MINUTES)
        while start := await connection.fetchval(
            sql("previous_bucket"), SIX_HOURS.number, self._checked_since
        ):
            self._checked_since = start
            wrong += await builder.check(start, SIX_HOURS.end_of(start), SIX_HOURS)
            if time.monotonic() > deadline:
                break
        else:
            self._checked_since = LATEST
        if wrong:
            log.warning(
                "rollups were wrong and are rebuilt: results were changed without triggers",
                buckets=len(wrong),
            )
        return bool(wrong)

    async def _delete_old_invalidations(self, connection: Connection) -> None:
        """Delete the invalidations that were applied APPLIED_INVALIDATIONS_S ago, or before this process started."""
        now = time.monotonic()
        self._applied.append((now, await connection.fetchval(sql("newest_invalidation"))))
        oldest = 0
        while self._applied[0][0] < now - limits.APPLIED_INVALIDATIONS_S:
            _, oldest = self._applied.popleft()
        if oldest:
            await connection.execute(sql("forget_invalidations"), oldest)


async def _build_details(connection: Connection, on_bucket: Callable[[Bucket], None]) -> None:
    """Build the details of materialized buckets."""
    from orchboard.store.details.builder import DetailBuilder  # at first use: numpy takes 0.2 s

    await DetailBuilder(connection).run(on_bucket)
