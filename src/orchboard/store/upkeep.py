"""Upkeep: what a server does to its database in the background, beside answering."""

import asyncio
from datetime import datetime, timedelta

import asyncpg
import structlog

from orchboard.errors import DatabaseUnavailableError
from orchboard.store.database import Database, in_brief
from orchboard.store.queries import sql
from orchboard.store.sealing import Sealer
from orchboard.store.spans import DAY, TEN_MINUTES
from orchboard.store.takeover import take_over
from orchboard.window import EARLIEST

log = structlog.get_logger(__name__)

EVERY_S = 10.0
CHECK_EVERY_S = 60.0

# While old results are moved, two thirds of a processor's time stay with those who ask.
_REST = 2.0

_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseUnavailableError)


class Upkeep:
    """Moves the results of a database that was taken over, then sums up what is over; for ever.

    Any number of servers may do it at once. A failure is logged and tried again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._checked_until: datetime | None = None

    async def run(self) -> None:
        """Until cancelled."""
        loop, checked_at = asyncio.get_running_loop(), 0.0
        while True:
            try:
                await self._database.open()
                connection = await self._database.connect()
                try:
                    is_settled = await self._take_over(connection)
                    if is_settled and loop.time() - checked_at > CHECK_EVERY_S:
                        checked_at = loop.time()
                        await self._check(connection)
                finally:
                    connection.terminate()
            except _FAILURES as error:
                log.warning("upkeep broke off and will go on", error=in_brief(error))
            except Exception:
                log.exception("upkeep broke off and will go on")
            await asyncio.sleep(EVERY_S)

    async def _take_over(self, connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
        moved = 0

        def count(number: int) -> None:
            nonlocal moved
            if not moved:
                log.info("moving results to where their numbers have columns")
            moved += number

        is_settled = await take_over(connection, rest=_REST, on_batch=count)
        if moved:
            log.info("moved results", results=moved, settled=is_settled)
        return is_settled

    async def _check(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Count what the spans of the last hour hold, and of one older day after the other."""
        now: datetime = await connection.fetchval(sql("now"))
        sealer, day = Sealer(connection), timedelta(days=1)
        wrong = await sealer.check(now - timedelta(hours=1), now, TEN_MINUTES)
        start = DAY.start_of(self._checked_until or now)
        first = await connection.fetchval(sql("last_result"), start, EARLIEST)
        self._checked_until = first and DAY.start_of(first)
        if self._checked_until:
            wrong += await sealer.check(self._checked_until, self._checked_until + day, DAY)
        if wrong:
            log.warning("results were written or removed behind the summaries", spans=len(wrong))
