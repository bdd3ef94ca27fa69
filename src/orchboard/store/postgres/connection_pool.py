"""Connections that are lent to one statement after another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import asyncpg

from orchboard.runtime.tasks import cancel_and_wait, consume_exception
from orchboard.store.connection.types import Connection

# What lies between may forget a silent connection and say so to nobody: an old one is not trusted.
MAX_IDLE_S = 60.0

# How long the end of a connection is waited for; a frozen server confirms nothing.
_CLOSE_TIMEOUT_S = 1.0


class _Idle(NamedTuple):
    connection: Connection
    since: float


class Pool:
    """At most `size` connections; the one that was used last is lent next.

    asyncpg's own makes a proxy, a task and a timer for each loan. Without them, and with the limits of `breaker`, what
    is around a statement takes a server that was idle 0.12 ms instead of 0.22.

    connect -- makes a connection
    may_stay -- whether one that comes back well may be lent again
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        *,
        size: int,
        may_stay: Callable[[Connection], bool],
    ) -> None:
        self._connect = connect
        self._may_stay = may_stay
        self._places = asyncio.Semaphore(size)
        self._idle: list[_Idle] = []  # the one used last at the end
        self._lent: set[Connection] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._all_are_back = asyncio.Event()
        self._all_are_back.set()
        self._is_closed = False

    async def take(self) -> Connection:
        """A connection, once there is one, to be used within `returning`.

        Raises what making it raises; InterfaceError after `close`.
        """
        await self._places.acquire()
        try:
            if self._is_closed:
                raise asyncpg.InterfaceError("the pool is closed")
            connection = self._find() or await self._connect()
        except BaseException:
            self._places.release()
            raise
        return self._lend(connection)

    async def take_idle(self) -> Connection | None:
        """As `take`, without waiting: a connection that is idle now; None when none is."""
        if self._is_closed or self._places.locked():
            return None
        await self._places.acquire()  # at once
        connection = self._find()
        if connection is None:
            self._places.release()
            return None
        return self._lend(connection)

    @contextmanager
    def returning(self, connection: Connection) -> Iterator[None]:
        """Have it back afterwards.

        One whose statement was broken off is ended, and its place is free when Postgres has let go of it.
        """
        try:
            yield
        except asyncpg.PostgresError:
            self._give_back(connection)
            raise
        except BaseException:
            self._run(self._end(connection))
            raise
        else:
            self._give_back(connection)

    def _lend(self, connection: Connection) -> Connection:
        self._lent.add(connection)
        self._all_are_back.clear()
        return connection

    def _find(self) -> Connection | None:
        """One that is idle, and was not for long."""
        too_old = time.monotonic() - MAX_IDLE_S
        while self._idle and self._idle[0].since < too_old:
            self._run(close(self._idle.pop(0).connection))
        while self._idle:
            connection = self._idle.pop().connection
            if not connection.is_closed():
                return connection
        return None

    def _give_back(self, connection: Connection) -> None:
        if self._is_closed or connection.is_closed() or not self._may_stay(connection):
            connection.terminate()
        else:
            self._idle.append(_Idle(connection, time.monotonic()))
        self._let_go(connection)

    async def _end(self, connection: Connection) -> None:
        try:
            await close(connection)
        finally:
            self._let_go(connection)

    def _let_go(self, connection: Connection) -> None:
        self._lent.discard(connection)
        self._places.release()
        if not self._lent:
            self._all_are_back.set()

    def _run(self, ending: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(ending)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        task.add_done_callback(consume_exception)

    async def close(self, timeout_s: float) -> None:
        """Lend no more, and end all connections: those that are lent when they come back or the time is over."""
        self._is_closed = True
        idle = [each.connection for each in self._idle]
        self._idle.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*map(close, idle))
                await self._all_are_back.wait()
        await cancel_and_wait(self._endings)
        for connection in (*idle, *self._lent):
            connection.terminate()


async def close(connection: Connection) -> None:
    """Close a connection, and have the server break off a statement that is still running; within a second."""
    try:
        with suppress(OSError, asyncpg.InterfaceError, asyncpg.PostgresError, asyncpg.InternalClientError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await connection.close()
    finally:
        connection.terminate()
