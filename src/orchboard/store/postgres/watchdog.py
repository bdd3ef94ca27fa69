"""Time limits for connections of background tasks, where no request would notice that one hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchboard import limits
from orchboard.store.connection.types import Connection
from orchboard.store.sql_files import sql


class Watchdog:
    """Terminates a connection without progress for `step_s`; statements on it fail at once.

    Cancelling the statement instead would wait for an answer, which never arrives on a dead connection.
    """

    def __init__(self, connection: Connection, step_s: float = limits.BACKGROUND_STEP_S) -> None:
        self._connection = connection
        self._step_s = step_s
        self._timer = self._start()

    def _start(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._step_s, self._connection.terminate)

    def beat(self) -> None:
        """Record progress: restart the timer."""
        self.stop()
        self._timer = self._start()

    def stop(self) -> None:
        """Stop the timer."""
        self._timer.cancel()


@asynccontextmanager
async def background_transaction(connection: Connection) -> AsyncIterator[None]:
    """A transaction with time limits, so that other sessions do not wait for its locks when this process hangs.

    The limits are set within the transaction, because poolers drop the settings of a session.
    """
    async with connection.transaction():
        await connection.execute(sql("background_limits"))
        yield
