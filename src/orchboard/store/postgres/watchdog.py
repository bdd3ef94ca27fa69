"""Limits for connections that work in the background: nobody waits for them, so nobody else would notice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchboard.store.connection.types import Connection
from orchboard.store.sql_files import sql

# The longest that one step of background work takes, with room: a statement, a batch, a span.
STEP_S = 600.0


class Watchdog:
    """Ends a connection on which nothing has got on for `step_s`: whatever waits for it is told at once.

    A cancelled statement would wait for the server's answer, which a dead connection never brings.
    """

    def __init__(self, connection: Connection, step_s: float = STEP_S) -> None:
        self._connection = connection
        self._step_s = step_s
        self._timer = self._start()

    def _start(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._step_s, self._connection.terminate)

    def beat(self) -> None:
        """Begin to count anew: a step is done."""
        self.stop()
        self._timer = self._start()

    def stop(self) -> None:
        """Leave the connection alone."""
        self._timer.cancel()


@asynccontextmanager
async def background_transaction(connection: Connection) -> AsyncIterator[None]:
    """A transaction whose locks others need not wait for long: Postgres ends it when this process does not go on.

    Set within the transaction, because poolers drop the settings of a session.
    """
    async with connection.transaction():
        await connection.execute(sql("background_limits"))
        yield
