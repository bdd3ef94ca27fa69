"""Making a database ready: created, and its schema brought up to date, before anything is asked of it."""

import asyncio
import math
import time
from contextlib import suppress

import asyncpg
import structlog

from orchboard.errors import SetupError
from orchboard.runtime.tasks import cancel_and_wait
from orchboard.store.connection.types import Connect
from orchboard.store.schema.create_database import ensure_database
from orchboard.store.schema.migrate import Step, migrate_to, require_schema
from orchboard.store.schema.version_tables import fetch_other_schema, search_path_advice
from orchboard.store.sql_files import sql

log = structlog.get_logger(__name__)

# A migration that failed, and needs a person, is left alone for so many times as long as it took, at most so long: it
# may have filled the disk with half an index.
_LEFT_ALONE, _LEFT_ALONE_S = 10.0, 600.0


class Opening:
    """Makes one database ready, once, however many ask.

    connect -- opens a connection of its own
    timeout_s -- how long the server may take to be reached
    migrates -- False: the schema is only checked, and DatabaseUnavailableError raised where it is missing or old
    """

    def __init__(self, url: str, connect: Connect, *, timeout_s: float, migrates: bool = True) -> None:
        self._migrates = migrates
        self._url = url
        self._connect = connect
        self._timeout_s = timeout_s
        self._opening: asyncio.Task[None] | None = None
        self._again_at = -math.inf

    async def wait(self) -> None:
        """Have it ready. A caller that gives up waiting does not end a migration under way.

        Raises SetupError when its schema needs a person, what connecting raises when it can't be reached; both are
        tried again by who asks later.
        """
        if self._opening is None or (self._opening.done() and time.monotonic() >= self._again_at):
            self._opening = asyncio.create_task(self._open())
        await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Break off a migration under way."""
        if self._opening is not None:
            await cancel_and_wait([self._opening])

    async def _open(self) -> None:
        began_at = time.monotonic()
        try:
            await self._migrate()
        except SetupError:
            now = time.monotonic()
            self._again_at = now + min(_LEFT_ALONE * (now - began_at), _LEFT_ALONE_S)
            raise

    async def _migrate(self) -> None:
        steps: list[Step] = []
        try:
            if not self._migrates:
                await require_schema(self._connect)
                return
            await ensure_database(self._url, timeout_s=self._timeout_s)
            await migrate_to(self._connect, on_step=lambda step: _log_step(step, steps))
        except asyncpg.InternalClientError as error:  # of a server that is being stopped
            raise ConnectionResetError(str(error)) from error

    async def describe(self) -> None:
        """Log which schema it is, and what an operator should know of it: 25 ms that no answer should wait for."""
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            await self._look_and_say()

    async def _look_and_say(self) -> None:
        connection = await self._connect()
        try:
            async with connection.transaction():
                schema = await connection.fetchval("SELECT current_schema()")
                elsewhere = await fetch_other_schema(connection)
                row = await connection.fetchrow(sql("ping"))
        finally:
            connection.terminate()
        assert row is not None  # noqa: S101 - it always has one
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
    """Log a step: at info when it changes a schema that somebody has, at debug when a new one is made."""
    steps.append(step)
    tell = log.debug if steps[0].version == 1 else log.info
    tell(
        "schema migrated",
        version=step.version,
        name=step.name,
        direction=step.direction,
        s=round(step.duration_s, 3),
    )
