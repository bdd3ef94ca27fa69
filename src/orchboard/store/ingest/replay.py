"""The replay: stores spooled submissions in the database when it is available again, once each, with their receipt times."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import asyncpg
import structlog

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError, Refusal
from orchboard.runtime.supervised_tasks import TaskHealth
from orchboard.stats import JobType
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.connection.failures import CONNECT_ERRORS, error_summary
from orchboard.store.connection.types import Connection
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.ingest.batch_insert import insert_bisecting
from orchboard.store.ingest.insert_statements import (
    fetch_digests,
    fetch_position,
    insert_once,
    reserve_and_insert,
)
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.row_errors import is_about_row, is_refusal
from orchboard.store.postgres.watchdog import Watchdog, background_transaction
from orchboard.store.spool.spool import Spool, SpoolError
from orchboard.store.spool.sqlite_file import SpooledSubmission
from orchboard.store.sql_files import sql

log = structlog.get_logger(__name__)


# Pauses between failed attempts, doubled from the first value to the last; and between checks of an empty spool, because
# `orchboard spool retry` may fill it.
_FIRST_PAUSE_S, _LAST_PAUSE_S, _IDLE_S = 0.1, 1.0, 5.0


# Maximum number of refused rows per batch that are searched by bisection, before `is_about_row` is asked.
_MAX_REFUSED = 8

# Pause while another worker replays.
_LOCKED_PAUSE_S = 0.2

# asyncpg raises InternalClientError for a connection that was lost a moment ago.
_DATABASE_FAILURES = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    DatabaseUnavailableError,
)


class Replay:
    """Empties a spool into the database, continuously. Killed at any moment, it loses nothing and stores nothing twice.

    A submission's id is in the spool before it is used. With id and receipt time it is stored once.
    """

    def __init__(
        self,
        spool: Spool,
        database: Database,
        regions: RegionDirectory,
        changes: VersionCounters,
        *,
        on_position: Callable[[int], None] | None = None,
    ) -> None:
        """on_position -- see BatchInsert"""
        self._on_position = on_position
        self._spool = spool
        self._database = database
        self._breaker = database.breaker
        self._regions = regions
        self._changes = changes
        self._stored = 0
        self._dead_letters = 0
        self._batch_rows = limits.MAX_REPLAY_ROWS
        self._refused: list[tuple[SpooledSubmission, asyncpg.PostgresError]] = []

    async def run(self, health: TaskHealth) -> None:
        """Run until cancelled."""
        self._health = health
        while True:
            await self._wait_for_rows()
            health.succeed()
            pause_s = _FIRST_PAUSE_S
            while self._spool.depth or self._breaker.spools_results:
                health.progress()
                if await self._try_to_empty():
                    pause_s = _FIRST_PAUSE_S
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LAST_PAUSE_S)

    async def _try_to_empty(self) -> bool:
        try:
            await self._empty()
        except _DATABASE_FAILURES as error:
            if isinstance(error, TimeoutError | asyncpg.QueryCanceledError):
                self._batch_rows = max(self._batch_rows // 4, 1)
            is_answer = isinstance(error, asyncpg.PostgresError) and not isinstance(error, CONNECT_ERRORS)
            level = logging.WARNING if is_answer else logging.DEBUG
            log.log(level, "spooled results wait", error=error_summary(error))
        except (SpoolError, Refusal) as error:
            log.warning("spooled results wait", error=str(error))
        except Exception:
            log.exception("spooled results wait")
        else:
            return True
        return False

    async def _wait_for_rows(self) -> None:
        """Wait until the spool has rows, or for _IDLE_S."""
        self._spool.has_rows.clear()
        try:
            if self._spool.exists and (await self._spool.state()).depth.waiting:
                return
            async with asyncio.timeout(_IDLE_S):
                await self._spool.has_rows.wait()
        except TimeoutError:
            pass
        except SpoolError as error:
            log.warning("the spool can't be read", error=str(error))
            await asyncio.sleep(_IDLE_S)

    async def _empty(self) -> None:
        """Store all waiting submissions in batches. Raises the errors of an unavailable database."""
        await self._database.open()
        connection = await self._database.connect()
        watchdog = Watchdog(connection, limits.REPLAY_STALL_S / 2)
        try:
            await self._regions.read()
            if self._spool.exists:
                await self._store_all(connection, watchdog)
            self._breaker.stop_spooling()
        except SpoolError:
            self._breaker.stop_spooling()  # the database is available
            raise
        finally:
            watchdog.stop()
            connection.terminate()

    async def _store_all(self, connection: Connection, watchdog: Watchdog) -> None:
        self._stored = self._dead_letters = 0
        is_empty = False
        while not is_empty:
            async with self._spool.replay_lock() as is_ours:
                if is_ours:
                    is_empty = await self._store_next(connection)
                    watchdog.beat()
                    self._health.progress()
                    self._breaker.stop_spooling()
            if not is_ours:
                watchdog.beat()
                self._health.progress()
                await asyncio.sleep(_LOCKED_PAUSE_S)
                is_empty = not (await self._spool.state()).depth.waiting
        await self._spool.state()
        if self._stored or self._dead_letters:
            await self._spool.vacuum()
            log.info("spooled results were stored", results=self._stored, aside=self._dead_letters)

    async def _store_next(self, connection: Connection) -> bool:
        """Store the oldest submissions; returns whether there were none."""
        waiting = await self._spool.oldest(self._batch_rows, limits.MAX_REPLAY_BYTES)
        if not waiting:
            return True
        regions = {(one.submission.parsed.region, one.submission.parsed.job_type) for one in waiting}
        region_ids = {region: await self._region_id_of(*region) for region in regions}
        for one in waiting:
            one.submission.region_id = region_ids[
                one.submission.parsed.region, one.submission.parsed.job_type
            ]
        await self._dead_letter(
            [
                (one.number, f"the region {one.submission.parsed.region} is unknown")
                for one in waiting
                if one.submission.region_id is None
            ]
        )
        known = [one for one in waiting if one.submission.region_id is not None]
        if known and (known := await self._assign_ids(connection, known)):
            self._refused = []
            await insert_bisecting(
                known,
                lambda batch: self._store(connection, batch),
                self._note_refused,
                may_split=lambda: len(self._refused) < _MAX_REFUSED,
            )
            await self._judge_refused(connection)
            self._batch_rows = min(self._batch_rows * 2, limits.MAX_REPLAY_ROWS)
        return False

    async def _assign_ids(
        self, connection: Connection, spooled: Sequence[SpooledSubmission]
    ) -> list[SpooledSubmission]:
        """Return the submissions that still wait, each with an id that is on the disk."""
        wanted = sum(one.submission.id is None for one in spooled)
        if not wanted:
            return list(spooled)
        async with asyncio.timeout(self._database.timeout_s):
            row = await connection.fetchrow(sql("allocate_ids"), wanted)
        assert row is not None  # noqa: S101 - the statement always returns one
        return await self._spool.assign_ids(spooled, row["ids"])

    def _note_refused(self, batch: Sequence[SpooledSubmission], error: asyncpg.PostgresError) -> None:
        """Remember a submission that was refused alone. Of a larger batch, the next attempt finds out."""
        if len(batch) == 1:
            self._refused.append((batch[0], error))

    async def _judge_refused(self, connection: Connection) -> None:
        """Make dead letters of submissions that Postgres refuses alone; if it refuses all results, raise its error.

        In the second case all submissions wait, and new results are sent to the database: the first that it stores shows
        that it accepts results again.
        """
        for one, error in self._refused:
            if not await is_about_row(connection, error):
                self._breaker.stop_spooling()
                raise error
            try:  # again: its cause may have been removed before `is_about_row` was answered
                await self._store(connection, [one])
            except asyncpg.PostgresError as again:
                if not is_refusal(again):
                    raise
                await self._dead_letter([(one.number, f"the database refused it: {error_summary(again)}")])

    async def _store(self, connection: Connection, batch: Sequence[SpooledSubmission]) -> None:
        """Store submissions, all or none, and remove them from the spool. Raises what Postgres raises."""
        stored, reused = await self._insert(connection, batch)
        # Before they are removed: a reader that finds the spool empty must find the results.
        self._changes.mark_late()
        self._changes.invalidate_all()
        await self._dead_letter(
            [(one.number, "its Idempotency-Key was used for another body") for one in reused]
        )
        await self._spool.remove(stored)
        self._stored += len(stored)

    async def _insert(
        self, connection: Connection, batch: Sequence[SpooledSubmission]
    ) -> tuple[list[SpooledSubmission], list[SpooledSubmission]]:
        """Insert submissions in one transaction; returns those that are stored, and those whose key has another body.

        A submission whose key existed and expired before its digest was read is in neither; it is tried again.
        """
        insert = reserve_and_insert if self._database.kind.is_distributed else insert_once
        async with asyncio.timeout(self._database.timeout_s), background_transaction(connection):
            new_keys = await insert(connection.fetch, [one.submission for one in batch])
            known = [one.submission for one in batch if one.submission.key not in new_keys]
            digests = await fetch_digests(connection.fetch, known) if known else {}
        if self._on_position is not None:
            async with asyncio.timeout(self._database.timeout_s):
                self._on_position(await fetch_position(connection.fetch))
        stored: list[SpooledSubmission] = []
        reused: list[SpooledSubmission] = []
        for one in batch:
            key = one.submission.key
            if key in new_keys:
                stored.append(one)
            elif key in digests:
                (stored if digests[key] == one.submission.body_digest else reused).append(one)
        return stored, reused

    async def _region_id_of(self, region: str, job_type: JobType) -> int | None:
        """The region id of a submission; None for an unknown region."""
        region_id = await self._regions.id_of(region, job_type)
        if region_id is None:
            await self._regions.read()  # it may have been added a moment ago
            region_id = await self._regions.id_of(region, job_type)
        return region_id

    async def _dead_letter(self, reasons: Sequence[tuple[int, str]]) -> None:
        if not reasons:
            return
        await self._spool.dead_letter(reasons)
        self._dead_letters += len(reasons)
        for reason in sorted({reason for _, reason in reasons}):
            log.warning("spooled results are dead letters: see `orchboard spool`", reason=reason)
