"""One connection that is kept, outside the pool, for a user that sends one statement after the other."""

import time
from typing import Any

import asyncpg

from orchboard.store.postgres.connection_pool import MAX_IDLE_S, close
from orchboard.store.postgres.database import Database, send
from orchboard.store.postgres.row_errors import is_refusal

# Undone by Postgres through no fault of the statement: another transaction was in its way.
_UNDONE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_ATTEMPTS = 4


class NotSentError(Exception):
    """The connection was lost before the statement was sent: it may be sent again."""


class DedicatedConnection:
    """A connection with its statements prepared and planned once; made anew when it was lost.

    number -- counts the connections made so far
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._used_at = 0.0
        self.number = 0

    async def open(self) -> None:
        """Connect, unless connected. Raises what connecting and migrating raise."""
        if self._is_lost() or time.monotonic() - self._used_at > MAX_IDLE_S:
            await self.close()
        if self._connection is None:
            await self._database.open()
            self._connection = await self._database.connect(planned_once=True)
            self.number += 1
            self._used_at = time.monotonic()

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows of one statement, in a transaction of its own.

        Raises NotSentError when it was surely not sent, a PostgresError that `is_refusal` when it was refused and undone;
        after anything else nobody knows whether it was carried out.
        """
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                rows = await self._send(statement, *arguments)
            except _UNDONE:
                if not attempts_left:
                    raise
            except BaseException as error:
                if not is_refusal(error):
                    await self.close()
                raise
            else:
                self._used_at = time.monotonic()
                self._database.breaker.note_answer()
                return rows
        raise AssertionError("the last attempt returned or raised")

    async def _send(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        if self._connection is None or self._is_lost():
            raise NotSentError
        try:
            return await send(self._connection, statement, *arguments)
        except asyncpg.InternalClientError as error:
            raise NotSentError from error

    def _is_lost(self) -> bool:
        return self._connection is not None and self._connection.is_closed()

    async def close(self) -> None:
        """Close it, and have the server break off a statement that is still running; within a second."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await close(connection)
