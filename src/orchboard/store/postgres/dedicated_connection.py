"""A dedicated connection outside the pool, for a caller that runs one statement after another."""

import time
from typing import Any

import asyncpg

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError
from orchboard.store.connection.failures import NO_ANSWER
from orchboard.store.connection.types import Connection
from orchboard.store.postgres.connection_pool import close
from orchboard.store.postgres.database import Database, was_not_sent
from orchboard.store.postgres.row_errors import is_refusal
from orchboard.store.postgres.server_kind import Purpose

# Postgres rolled the statement back because of another transaction; it is sent again.
_ROLLED_BACK = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_ATTEMPTS = 4


class NotSentError(Exception):
    """The connection was lost before the statement was sent: it may be sent again."""


class DedicatedConnection:
    """A connection that prepares and plans each statement once, and is replaced when it is lost.

    node -- name and port of the node of a cluster that it connects to; None: the host of the URL
    number -- number of connections opened so far
    """

    def __init__(self, database: Database, node: tuple[str, int] | None = None) -> None:
        self._database = database
        self._node = node
        self._breaker = database.breaker
        self._connection: Connection | None = None
        self._used_at = 0.0
        self.number = 0

    @property
    def is_distributed(self) -> bool:
        """Whether the results of the database are distributed; known once a connection was opened."""
        return self._database.kind.is_distributed

    async def open(self) -> None:
        """Connect, unless connected. Raises what `Database.open` and `Database.connect` raise."""
        connection = self._connection
        if connection is not None:
            if not connection.is_closed() and time.monotonic() - self._used_at <= limits.CONNECTION_IDLE_S:
                return
            await self.close()
        await self._database.open()
        if self._node is None:
            self._connection = await self._database.connect(Purpose.INSERT)
        else:
            self._connection = await self._database.connect_to_node(*self._node)
        self.number += 1
        self._used_at = time.monotonic()

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows of one statement, in its own transaction.

        Raises NotSentError when the statement was certainly not sent, and a PostgresError that `is_refusal` when it was
        refused and rolled back. After any other exception its outcome is unknown.
        """
        connection = self._connection
        if connection is None or connection.is_closed():
            raise NotSentError
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                rows = await connection.fetch(statement, *arguments)
            except _ROLLED_BACK:
                if not attempts_left:
                    raise
            except asyncpg.InternalClientError as error:
                await self.close()
                if was_not_sent(error):
                    raise NotSentError from error
                raise DatabaseUnavailableError(NO_ANSWER) from error
            except BaseException as error:
                if not is_refusal(error):
                    await self.close()
                raise
            else:
                self._used_at = self._database.written_at = time.monotonic()
                self._breaker.answers += 1
                return rows
        raise AssertionError("the last attempt returned or raised")

    async def close(self) -> None:
        """Close the connection, and have the server cancel a statement that is still running; within a second."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await close(connection)
