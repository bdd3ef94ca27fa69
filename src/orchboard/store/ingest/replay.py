"""Replay: what the spool holds goes into the database when that is back; each result once, with its receipt time."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import asyncpg
import structlog

from orchboard.errors import DatabaseUnavailableError, Refusal
from orchboard.runtime.supervised_tasks import TaskHealth
from orchboard.stats import JobType
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.connection.failover import CONNECT_ERRORS
from orchboard.store.connection.types import Connection
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.database import Database, error_summary
from orchboard.store.postgres.row_errors import is_about_row, is_refusal
from orchboard.store.postgres.watchdog import Watchdog, background_transaction
from orchboard.store.spool.spool import Spool, SpoolError
from orchboard.store.spool.sqlite_file import Numbered, to_time
from orchboard.store.sql_files import sql

log = structlog.get_logger(__name__)

# What goes into the database in one transaction; a quarter of it, and so on, after one that took too long.
BATCH_ROWS, BATCH_BYTES = 500, 4 * 1024 * 1024

# Between attempts on a database that is away, and between looks at a spool that was empty: a person may have had
# something tried again.
_FIRST_PAUSE_S, _LAST_PAUSE_S, _IDLE_S = 0.1, 1.0, 5.0

# Without a batch for longer than this the connection is ended, or the whole task begun anew.
STALL_S = 120.0

# So many single results of a batch that Postgres refuses are looked for, before it is asked whether it is about them.
_MOST_REFUSED = 8

# While another worker stores what is in the spool.
_NOT_OUR_TURN_S = 0.2

# asyncpg says InternalClientError of a connection that was lost just now.
_FAILURES = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    DatabaseUnavailableError,
)


class Replay:
    """Empties a spool into the database, for ever. Killed at any instant, it loses nothing and stores nothing twice.

    A result's id is in the spool before it is used, and with it and its receipt time it is stored once.
    """

    def __init__(
        self, spool: Spool, database: Database, regions: RegionDirectory, changes: VersionCounters
    ) -> None:
        self._spool = spool
        self._database = database
        self._regions = regions
        self._changes = changes
        self._stored = 0
        self._aside = 0
        self._batch_rows = BATCH_ROWS
        self._refused: list[tuple[Numbered, asyncpg.PostgresError]] = []

    async def run(self, health: TaskHealth) -> None:
        """Until cancelled."""
        self._health = health
        while True:
            await self._wait_for_rows()
            health.succeed()
            pause_s = _FIRST_PAUSE_S
            while self._spool.depth or self._spool.is_away:
                health.progress()
                try:
                    await self._empty()
                    pause_s = _FIRST_PAUSE_S
                except _FAILURES as error:
                    if isinstance(error, TimeoutError | asyncpg.QueryCanceledError):
                        self._batch_rows = max(self._batch_rows // 4, 1)
                    is_there = isinstance(error, asyncpg.PostgresError) and not isinstance(
                        error, CONNECT_ERRORS
                    )
                    level = logging.WARNING if is_there else logging.DEBUG
                    log.log(level, "spooled results wait", error=error_summary(error))
                except (SpoolError, Refusal) as error:
                    log.warning("spooled results wait", error=str(error))
                except Exception:
                    log.exception("spooled results wait")
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LAST_PAUSE_S)

    async def _wait_for_rows(self) -> None:
        """Until something is in the spool, or a look at it is due."""
        self._spool.has_rows.clear()
        try:
            if self._spool.is_there and (await self._spool.state()).depth.waiting:
                return
            async with asyncio.timeout(_IDLE_S):
                await self._spool.has_rows.wait()
        except TimeoutError:
            pass
        except SpoolError as error:
            log.warning("the spool can't be read", error=str(error))
            await asyncio.sleep(_IDLE_S)

    async def _empty(self) -> None:
        """Store all that waits, batch by batch; raises what a database raises that is not back."""
        await self._database.open()
        connection = await self._database.connect()
        watchdog = Watchdog(connection, STALL_S / 2)
        try:
            await self._regions.read()
            if self._spool.is_there:
                await self._store_all(connection, watchdog)
            self._spool.note_back()
        except SpoolError:
            self._spool.note_back()  # no reason to keep results from the database
            raise
        finally:
            watchdog.stop()
            connection.terminate()

    async def _store_all(self, connection: Connection, watchdog: Watchdog) -> None:
        self._stored = self._aside = 0
        is_empty = False
        while not is_empty:
            async with self._spool.turn() as is_ours:
                if is_ours:
                    is_empty = await self._store_next(connection)
                    watchdog.beat()
                    self._health.progress()
                    self._spool.note_back()
            if not is_ours:
                watchdog.beat()
                self._health.progress()
                await asyncio.sleep(_NOT_OUR_TURN_S)
                is_empty = not (await self._spool.state()).depth.waiting
        await self._spool.state()
        if self._stored or self._aside:
            await self._spool.give_back()
            log.info("spooled results were stored", results=self._stored, aside=self._aside)

    async def _store_next(self, connection: Connection) -> bool:
        """Store the results that came first; whether there were none."""
        waiting = await self._spool.oldest(self._batch_rows, BATCH_BYTES)
        if not waiting:
            return True
        region_ids = await self._regions_of(waiting)
        unknown = [one for one in waiting if _place(one) not in region_ids]
        await self._put_aside(
            [(one.number, f"the region {one.spooled.region} is unknown") for one in unknown]
        )
        known = [one for one in waiting if _place(one) in region_ids]
        if known and (known := await self._name(connection, known)):
            self._refused = []
            await self._narrow_down(connection, known, region_ids)
            await self._judge(connection, region_ids)
            self._batch_rows = min(self._batch_rows * 2, BATCH_ROWS)
        return False

    async def _name(self, connection: Connection, results: Sequence[Numbered]) -> list[Numbered]:
        """The same, each with an id that is on the disk."""
        wanted = sum(one.spooled.id is None for one in results)
        if not wanted:
            return list(results)
        async with asyncio.timeout(self._database.timeout_s):
            row = await connection.fetchrow(sql("allocate_ids"), wanted)
        assert row is not None  # noqa: S101 - it always has one
        return await self._spool.name(results, row["ids"])

    async def _narrow_down(
        self, connection: Connection, results: Sequence[Numbered], region_ids: Mapping[tuple[str, str], int]
    ) -> None:
        """Store results; if Postgres refuses them, their halves, and so on down to those that it refuses alone."""
        try:
            await self._store(connection, results, region_ids)
        except asyncpg.PostgresError as error:
            if not is_refusal(error):
                raise
            if len(results) == 1:
                self._refused.append((results[0], error))
            elif len(self._refused) < _MOST_REFUSED:
                middle = len(results) // 2
                await self._narrow_down(connection, results[:middle], region_ids)
                await self._narrow_down(connection, results[middle:], region_ids)

    async def _judge(self, connection: Connection, region_ids: Mapping[tuple[str, str], int]) -> None:
        """Put aside what Postgres refused alone; if it refuses everything, raise why: all of it waits.

        New results are sent to the database then: the first that it takes shows that it is open.
        """
        for one, error in self._refused:
            if not await is_about_row(connection, error):
                self._spool.note_back()
                raise error
            try:  # once more: what refused it may have been lifted before the other was accepted
                await self._store(connection, [one], region_ids)
            except asyncpg.PostgresError as again:
                if not is_refusal(again):
                    raise
                await self._put_aside([(one.number, f"the database refused it: {error_summary(again)}")])

    async def _store(
        self, connection: Connection, results: Sequence[Numbered], region_ids: Mapping[tuple[str, str], int]
    ) -> None:
        """Store results, all or none, and forget them. Raises what Postgres raises."""
        stored, reused = await self._insert(connection, results, region_ids)
        # Before it is forgotten: a reader who finds the spool empty finds the results.
        self._changes.mark_late()
        self._changes.invalidate_all()
        await self._put_aside(
            [(one.number, "its Idempotency-Key was used for another body") for one in reused]
        )
        await self._spool.remove(stored)
        self._stored += len(stored)

    async def _insert(
        self, connection: Connection, results: Sequence[Numbered], region_ids: Mapping[tuple[str, str], int]
    ) -> tuple[list[Numbered], list[Numbered]]:
        """Store results in one transaction: those that are there now, and those whose key was there with another body.

        One whose key was there and expired before it could be looked at is neither, and tried again.
        """
        spooled = [one.spooled for one in results]
        times = [to_time(one.received_at) for one in spooled]
        keys = [one.key for one in spooled]
        async with asyncio.timeout(self._database.timeout_s), background_transaction(connection):
            inserted = await connection.fetch(
                sql("insert_once"),
                [one.orchestrator for one in spooled],
                [region_ids[one.region, one.job_type] for one in spooled],
                [one.payload.decode() for one in spooled],
                [one.tester_id for one in spooled],
                keys,
                [one.body_digest for one in spooled],
                times,
                [one.id for one in spooled],
            )
            new_keys = {None, *(key for (key,) in inserted)}
            known = [key for key in keys if key not in new_keys]
            rows = await connection.fetch(sql("body_digests"), known) if known else []
        digests = {row["key"]: row["body_digest"] for row in rows}
        there, reused = [], []
        for one in results:
            key, digest = one.spooled.key, one.spooled.body_digest
            if key in new_keys or digests.get(key) == digest:
                there.append(one)
            elif key in digests:
                reused.append(one)
        return there, reused

    async def _regions_of(self, results: Sequence[Numbered]) -> dict[tuple[str, str], int]:
        """The ids that results of these regions and job types are stored under; none for an unknown region."""
        found = {}
        for region, job_type in {_place(one) for one in results}:
            region_id = await self._regions.id_of(region, JobType(job_type))
            if region_id is None:
                await self._regions.read()  # somebody may have added it a moment ago
                region_id = await self._regions.id_of(region, JobType(job_type))
            if region_id is not None:
                found[region, job_type] = region_id
        return found

    async def _put_aside(self, reasons: Sequence[tuple[int, str]]) -> None:
        if not reasons:
            return
        await self._spool.dead_letter(reasons)
        self._aside += len(reasons)
        for reason in sorted({reason for _, reason in reasons}):
            log.warning("spooled results are kept aside: see `orchboard spool`", reason=reason)


def _place(one: Numbered) -> tuple[str, str]:
    return one.spooled.region, one.spooled.job_type
