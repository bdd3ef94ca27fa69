"""Startup of a database: creation and migration before the first statement."""

import asyncio
import math
import time
from contextlib import suppress

import asyncpg
import structlog

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError, SetupError
from orchboard.runtime.tasks import cancel_and_wait, consume_exception
from orchboard.store.connection.types import Connect
from orchboard.store.schema.create_database import ensure_database
from orchboard.store.schema.migrate import OldSchemaError, Step, migrate_to, require_schema
from orchboard.store.schema.version_tables import fetch_other_schema, search_path_advice
from orchboard.store.sql_files import sql

log = structlog.get_logger(__name__)

# After a migration that failed and needs a manual repair, the next attempt is delayed by a multiple of its duration, up to a
# maximum: it may have filled the disk with half an index.
_BACKOFF_FACTOR = 10.0


class Startup:
    """Creates and migrates one database, once for all callers.

    connect -- opens a connection, which is closed here
    timeout_s -- time limit for connecting to the server
    migrates -- False: only check the schema, and raise DatabaseUnavailableError when it is missing or old
    """

    def __init__(self, url: str, connect: Connect, *, timeout_s: float, migrates: bool = True) -> None:
        self._migrates = migrates
        self._url = url
        self._connect = connect
        self._timeout_s = timeout_s
        self._starting: asyncio.Task[None] | None = None
        self._retry_at = -math.inf

    async def wait(self) -> None:
        """Wait until the database is ready. Cancelling a caller does not cancel a running migration.

        Raises SetupError when the schema needs a manual repair, and connection errors. A later call tries again.
        """
        if self._starting is None or (self._starting.done() and time.monotonic() >= self._retry_at):
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(consume_exception)
        await asyncio.shield(self._starting)

    async def close(self) -> None:
        """Cancel a running migration."""
        if self._starting is not None:
            await cancel_and_wait([self._starting])

    async def _start(self) -> None:
        began_at = time.monotonic()
        try:
            await self._migrate()
        except SetupError:
            now = time.monotonic()
            self._retry_at = now + min(_BACKOFF_FACTOR * (now - began_at), limits.MIGRATION_RETRY_S)
            raise

    async def _migrate(self) -> None:
        steps: list[Step] = []
        try:
            if not self._migrates:
                await self._require_schema()
                return
            await ensure_database(self._url, timeout_s=self._timeout_s)
            await migrate_to(self._connect, on_step=lambda step: _log_step(step, steps))
        except asyncpg.InternalClientError as error:  # the server is shutting down
            raise ConnectionResetError(str(error)) from error

    async def _require_schema(self) -> None:
        try:
            await require_schema(self._connect)
        except OldSchemaError as error:
            log.error(  # noqa: TRY400 - a traceback adds nothing
                "the database's schema is missing or old: run `orchboard migrate up`",
                version=error.version,
                needed=error.needed,
            )
            raise DatabaseUnavailableError(str(error)) from None

    async def describe(self) -> None:
        """Log the schema's name, and what an operator should know about it. Takes 25 ms, so do not call it in a request."""
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            await self._log_findings()

    async def _log_findings(self) -> None:
        connection = await self._connect()
        try:
            async with connection.transaction():
                schema = await connection.fetchval("SELECT current_schema()")
                elsewhere = await fetch_other_schema(connection)
                row = await connection.fetchrow(sql("ping"))
        finally:
            connection.terminate()
        assert row is not None  # noqa: S101 - the statement always returns one
        log.info("the database is ready", schema=schema)
        if row["missing"]:
            log.error("the database's role lacks privileges: see `orchboard doctor`", missing=row["missing"])
        if row["read_only"]:
            log.warning("the database is read-only: results can't be stored")
        if elsewhere:
            log.warning(
                f"another schema holds a leaderboard with results, this one none. {search_path_advice(elsewhere)}",
                schema=schema,
                other=elsewhere,
            )


def _log_step(step: Step, steps: list[Step]) -> None:
    """Log a migration: at info for an existing schema, at debug for a new one."""
    steps.append(step)
    log_step = log.debug if steps[0].version == 1 else log.info
    log_step(
        "schema migrated",
        version=step.version,
        name=step.name,
        direction=step.direction,
        s=round(step.duration_s, 3),
    )
