"""Upkeep: what a server does to its database in the background, beside answering."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

import asyncpg
import structlog
from msgspec import Struct

from orchboard.errors import DatabaseUnavailableError
from orchboard.runtime.supervised_tasks import TaskHealth
from orchboard.store.connection.failures import DATABASE_ERRORS, error_summary, unavailable
from orchboard.store.connection.types import Connection
from orchboard.store.legacy_import.backfill import backfill
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.watchdog import STEP_S, Watchdog
from orchboard.store.rollups.buckets import DAY, TEN_MINUTES, Bucket
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.sql_files import sql
from orchboard.window import LATEST

log = structlog.get_logger(__name__)

EVERY_S = 10.0
CHECK_EVERY_S = 60.0

# How long applied invalidations are kept: readers whose last reading is older than half of it read all anew (recent.py).
KEEP_APPLIED_S = 600.0

# While old results are moved, two thirds of a processor's time stay with readers.
_REST = 2.0

# A round without an end; the watchdog of its connection has rung long before.
STALL_S = STEP_S + 60.0

_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseUnavailableError)


class MaintenanceRound(Struct, frozen=True):
    """What one round did.

    moved -- results of a database that was taken over; spans -- of rollups that were looked at or built
    is_done -- False: the time was over before the work
    """

    moved: int
    spans: int
    is_done: bool


class _TimeIsOverError(Exception):
    """Raised between two steps of the work."""


class MaintenanceLoop:
    """Moves the results of a database that was taken over, then builds the rollups.

    Any number of servers may do it at once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._checked_since: datetime = LATEST
        self._checked_at = 0.0
        self._applied: deque[tuple[float, int]] = (
            deque()
        )  # when, by time.monotonic, an invalidation was the newest
        self._is_held_up = False

    async def run(self, health: TaskHealth) -> None:
        """Until cancelled. A failure is tried again."""
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
        """One round, ended between two steps once `limit_s` is over, within a step at twice that.

        Raises DatabaseUnavailableError, SetupError.
        """
        loop = asyncio.get_running_loop()
        deadline, moved, spans, is_done = loop.time() + limit_s, 0, 0, False

        def count(step: int | Bucket) -> None:
            nonlocal moved, spans
            if isinstance(step, Bucket):
                spans += 1
            else:
                moved += step
            if loop.time() > deadline:
                raise _TimeIsOverError

        try:
            await self._database.open()
            connection = await self._database.connect()
            try:
                async with asyncio.timeout_at(deadline + limit_s):
                    # Again where the check found something: a scheduler's next call may be a day away.
                    while await self._run_once(connection, count):
                        pass
                is_done = True
            except (_TimeIsOverError, TimeoutError):
                log.info("upkeep has more to do than fits into one call", moved=moved, spans=spans)
            finally:
                connection.terminate()
        except DATABASE_ERRORS as error:
            raise unavailable(error) from error
        return MaintenanceRound(moved, spans, is_done)

    async def _run_once(
        self, connection: Connection, on_step: Callable[[int | Bucket], None], *, rest: float = 0.0
    ) -> bool:
        """Whether there is more to do at once: wrong rollups were found."""
        watchdog = Watchdog(connection)

        def get_on(step: int | Bucket) -> None:
            watchdog.beat()
            on_step(step)

        try:
            is_settled, found = await self._take_over(connection, get_on, rest), False
            if is_settled and self._is_check_due():
                found = await self._check(connection)
            await self._forget_invalidations(connection)
        finally:
            watchdog.stop()
        return found

    async def _take_over(
        self, connection: Connection, get_on: Callable[[int | Bucket], None], rest: float
    ) -> bool:
        moved = 0

        def count(number: int) -> None:
            nonlocal moved
            if not moved:
                log.info("moving results to where their numbers have columns")
            moved += number
            get_on(number)

        sealer = RollupBuilder(connection)
        is_settled = await backfill(connection, sealer, rest=rest, on_batch=count, on_bucket=get_on)
        if moved:
            log.info("moved results", results=moved, settled=is_settled)
        if sealer.is_held_up is not self._is_held_up:
            self._is_held_up = sealer.is_held_up
            if self._is_held_up:
                log.warning("rollups wait for a transaction of this database that has been open for long")
            else:
                log.info("rollups wait for no transaction any more")
        return is_settled

    def _is_check_due(self) -> bool:
        is_due = time.monotonic() - self._checked_at > CHECK_EVERY_S
        if is_due:
            self._checked_at = time.monotonic()
        return is_due

    async def _check(self, connection: Connection) -> bool:
        """Count what the spans of the last hour hold, and those of one older day after the other, to find what no
        trigger has noted; whether there was any."""
        now: datetime = await connection.fetchval(sql("now"))
        sealer = RollupBuilder(connection)
        wrong = await sealer.check(now - timedelta(hours=1), now, TEN_MINUTES)
        start = await connection.fetchval(sql("previous_span"), DAY.number, self._checked_since)
        self._checked_since = start or LATEST
        if start is not None:
            wrong += await sealer.check(start, DAY.end_of(start), DAY)
        if wrong:
            log.warning("rollups were wrong and are built again: no trigger noted a change", spans=len(wrong))
        return bool(wrong)

    async def _forget_invalidations(self, connection: Connection) -> None:
        """Forget those that were applied KEEP_APPLIED_S ago, or before this process started."""
        now = time.monotonic()
        self._applied.append((now, await connection.fetchval(sql("newest_invalidation"))))
        oldest = 0
        while self._applied[0][0] < now - KEEP_APPLIED_S:
            _, oldest = self._applied.popleft()
        if oldest:
            await connection.execute(sql("forget_invalidations"), oldest)
