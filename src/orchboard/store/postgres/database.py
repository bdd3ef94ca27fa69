"""Connections to Postgres: a pool that works behind a pooler, with one deadline a request."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg
import structlog

from orchboard.errors import DatabaseUnavailableError
from orchboard.runtime.tasks import cancel_and_wait
from orchboard.store.connection.encoding import UTF8, connection_options, encoding_of
from orchboard.store.connection.failover import CONNECT_ERRORS, Hosts
from orchboard.store.connection.failures import NO_ANSWER, NOT_READY, explain_failure
from orchboard.store.postgres.circuit_breaker import CircuitBreaker
from orchboard.store.postgres.connection_pool import Pool
from orchboard.store.postgres.startup import Opening
from orchboard.store.sql_files import sql

T = TypeVar("T")
log = structlog.get_logger(__name__)

# How long a request waits for a database that refuses connections (it may be restarting) before it is
# told so. A result waits longer: its tester will not send it again, and gives up after 8 s.
READ_PATIENCE_S = 1.0
WRITE_PATIENCE_S = 5.0

# And for one whose schema is being brought up to date, which may take minutes.
OPENING_PATIENCE_S = 5.0

# How long all connections may take to be closed.
_CLOSE_TIMEOUT_S = 1.0

# The generic plan of a static text with optional filters measured 50.8 ms where the custom one took 3.0.
# A role's own limits would end a long migration; requests have DB_TIMEOUT.
_SESSION_SETTINGS = {
    "plan_cache_mode": "force_custom_plan", "jit": "off", "statement_timeout": "0", "lock_timeout": "0",
}  # fmt: skip

# An INSERT has nothing to choose: planned once, a group of one took 0.38 ms where planned anew it took 0.55.
_PLANNED_ONCE = _SESSION_SETTINGS | {"plan_cache_mode": "force_generic_plan"}

# What asyncpg (0.32, coreproto.pyx) says before it writes anything to the connection.
_NOT_SENT = ("cannot switch to state", "not connected")

DATABASE_ERRORS = (OSError, asyncpg.InterfaceError, asyncpg.PostgresError)

# The database is there and refuses what it was given; given again, it will again.
BAD_ROW = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)

# What was stored can't be read: what is sent fits the encoding.
_BROKEN_TEXT = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)

# The connection went away with the statement: the server was killed or stopped, or is no primary any more.
_GONE = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)


# After one of these it is worth a look whether the database is there at all; TimeoutError is an OSError.
_AWAY = (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError)

# What this process or machine has run out of: no evidence of an absent database.
_OUR_OWN_LIMITS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}


class Database:
    """The database behind one URL, connected to when it is first asked.

    Migrates it before the first answer. Raises DatabaseUnavailableError when it can't be reached or is
    not ready within the request's time, SetupError when its schema needs a person. While it is away it does so at
    once, for those too that wait (`breaker`).

    migrates -- False: a missing or old schema is DatabaseUnavailableError
    """

    def __init__(self, url: str, *, connections: int, timeout_s: float, migrates: bool = True) -> None:
        self._url = url
        self._hosts = Hosts(url)
        self._size = connections
        self.timeout_s = timeout_s
        self._pool: Pool | None = None
        self._pooler: bool | None = None
        self.encoding = UTF8
        self._opening = Opening(url, self.connect, timeout_s=timeout_s, migrates=migrates)
        self._why_away = NO_ANSWER
        self.breaker = CircuitBreaker(self._is_there, hosts=self._hosts.number)

    @property
    def has_standbys(self) -> bool:
        """Whether there are hosts to read from while none takes writes."""
        return self._hosts.has_fallback_standby

    async def fetch(
        self, statement: str, *arguments: Any, patience_s: float = READ_PATIENCE_S, even_away: bool = False
    ) -> list[asyncpg.Record]:
        """The rows of one statement, in a transaction of its own.

        Sent again when the connection is lost meanwhile: it must be one that may be carried out twice.

        even_away -- try it even though the database was away a moment ago
        """
        if self.breaker.is_away and not even_away:
            raise DatabaseUnavailableError(self._why_away)
        # As many connections as the pool may hold can be lost without having said so.
        for _ in range(self._size + 1):
            with suppress(asyncpg.InternalClientError):
                rows = await self._try_to_fetch(statement, arguments, patience_s)
                if rows is not None:
                    return rows
        raise DatabaseUnavailableError(NO_ANSWER)

    async def _try_to_fetch(
        self, statement: str, arguments: tuple[Any, ...], patience_s: float
    ) -> list[asyncpg.Record] | None:
        """None when the connection was lost with the statement."""
        try:
            with self.breaker.limit(self.timeout_s):
                pool = self._pool or await self._opened(patience_s)
                connection = await _patiently(pool.take, patience_s)
                with pool.returning(connection):
                    try:
                        rows = await send(connection, statement, *arguments)
                        self.breaker.note_answer()
                        return rows
                    except _GONE:
                        with suppress(asyncpg.InterfaceError):  # it may know already, and be out of the pool
                            connection.terminate()
                        return None
        except DATABASE_ERRORS as error:
            if isinstance(error, asyncpg.PostgresError) and not isinstance(error, _AWAY):
                self.breaker.note_answer()
            if isinstance(error, BAD_ROW) and not isinstance(error, _BROKEN_TEXT):
                raise
            if patience_s > 0 and isinstance(error, _AWAY):
                self.breaker.probe()
            raise unavailable(error) from error

    async def _opened(self, patience_s: float) -> Pool:
        """The pool, unless a migration takes long."""
        try:
            async with asyncio.timeout(OPENING_PATIENCE_S) as limit:
                return await _patiently(self.open, patience_s)
        except TimeoutError:
            if limit.expired():
                raise DatabaseUnavailableError(NOT_READY) from None
            raise

    async def connect(self, *, planned_once: bool = False) -> asyncpg.Connection[asyncpg.Record]:
        """A fresh connection outside the pool, for migrations, bulk work and the writer; the caller closes it.

        planned_once -- keep a statement's first plan, where nothing between us and Postgres prevents it
        """
        if self._pooler is None:
            self._pooler, self.encoding = await _find_out(self._hosts, self.timeout_s)
            if self.encoding != UTF8:
                log.warning(
                    "the database's encoding is not UTF8: text that it can't hold is stored with `?` in its place; "
                    "`orchboard doctor` says what to do",
                    encoding=self.encoding,
                )
        return await self._hosts.connect(
            timeout_s=self.timeout_s, **self._options(_PLANNED_ONCE if planned_once else _SESSION_SETTINGS)
        )

    def _options(self, settings: dict[str, str]) -> dict[str, Any]:
        kept = {"statement_cache_size": 0} if self._pooler else {"server_settings": settings}
        return kept | connection_options(self.encoding)

    async def open(self) -> Pool:
        """The pool, once the database is created and migrated, however long that takes."""
        if self._pool is None:
            await self._opening.wait()
        if self._pool is None:
            self._pool = Pool(self._connect_to_read, size=self._size, may_stay=self._may_stay)
        return self._pool

    async def describe(self) -> None:
        """Log which schema it is, and what an operator should know of it."""
        await self._opening.describe()

    async def close(self) -> None:
        """Close every connection, soon; a migration under way is broken off."""
        await self.breaker.close()
        await self._opening.close()
        if self._pool is not None:
            # One that is away hears no farewell.
            await self._pool.close(0 if self.breaker.is_away else _CLOSE_TIMEOUT_S)

    async def _connect_to_read(self) -> asyncpg.Connection[asyncpg.Record]:
        return await self._hosts.connect_to_read(timeout_s=self.timeout_s, **self._options(_SESSION_SETTINGS))

    def _may_stay(self, connection: asyncpg.Connection[asyncpg.Record]) -> bool:
        return not (self.breaker.is_away or self._hosts.is_fallback_standby(connection))

    async def _is_there(self) -> bool:
        """Whether a new connection is answered, or one that is idle: a new one may wait for a name or a process."""
        asking = {asyncio.ensure_future(self._answers_anew())}
        if self._pool is not None and (idle := await self._pool.take_idle()) is not None:
            asking.add(asyncio.ensure_future(self._answers(self._pool, idle)))
        try:
            while asking:
                done, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                if any(each.result() for each in done):
                    return True
        finally:
            await cancel_and_wait(asking)
        return False

    async def _answers_anew(self) -> bool:
        try:
            connection = await (self.connect() if self._pool is None else self._connect_to_read())
            try:
                await connection.fetchval(sql("now"))
            finally:
                connection.terminate()
        except asyncpg.TooManyConnectionsError:
            return True
        except asyncio.CancelledError:  # it took too long
            self._why_away = NO_ANSWER
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _OUR_OWN_LIMITS:
                return True
            self._note_why_away(error)
            return False
        return True

    async def _answers(self, pool: Pool, connection: asyncpg.Connection[asyncpg.Record]) -> bool:
        try:
            with pool.returning(connection):
                await connection.fetchval(sql("now"))
        except (*DATABASE_ERRORS, asyncpg.InternalClientError):
            return False
        return True

    def _note_why_away(self, error: Exception) -> None:
        """What requests are told meanwhile; logged when it is not what it was before."""
        told = explain_failure(error).public_message
        if told not in (self._why_away, NO_ANSWER):
            log.warning("database unavailable", because=told, error=error_summary(error))
        self._why_away = told


def unavailable(error: Exception) -> DatabaseUnavailableError:
    """What a request is told of an error that is one of DATABASE_ERRORS; the error itself goes to the log."""
    failure = explain_failure(error)
    log.warning("database unavailable", because=failure.public_message, error=error_summary(error))
    return DatabaseUnavailableError(failure.public_message)


def error_summary(error: Exception) -> str:
    """An error for the log, without the detail in which Postgres quotes the row, and without hosts.

    >>> error_summary(TimeoutError())
    'TimeoutError: it took too long'
    """
    if isinstance(error, TimeoutError) and not error.errno:
        return "TimeoutError: it took too long"
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror):
        return f"{type(error).__name__}: {os.strerror(error.errno) if error.errno else 'several attempts failed'}"
    message = error.message if isinstance(error, asyncpg.PostgresError) else None
    return f"{type(error).__name__}: {message or error}"


async def send(
    connection: asyncpg.Connection[asyncpg.Record],
    statement: str,
    *arguments: Any,
) -> list[asyncpg.Record]:
    """The rows of a statement.

    Raises InternalClientError when the server has ended the connection and nothing was sent: it may be tried on
    another. asyncpg has no error of its own for that; any other of this class may have been executed.
    """
    try:
        return await connection.fetch(statement, *arguments)
    except asyncpg.InternalClientError as error:
        connection.terminate()
        if str(error).startswith(_NOT_SENT):
            raise
        raise DatabaseUnavailableError(NO_ANSWER) from error


async def _patiently(attempt: Callable[[], Awaitable[T]], patience_s: float) -> T:
    deadline = time.monotonic() + patience_s
    pause_s = 0.05
    while True:
        try:
            return await attempt()
        except CONNECT_ERRORS:
            if time.monotonic() + pause_s > deadline:
                raise
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.5)


async def _find_out(hosts: Hosts, timeout_s: float) -> tuple[bool, str]:
    """Whether something between us and Postgres drops or refuses session settings, pgbouncer and kin; and the encoding
    of the database.

    Behind one, no statement may be prepared by name, and settings can't be relied on.
    """
    refused = False
    try:
        connection = await hosts.connect(
            timeout_s=timeout_s, server_settings=_SESSION_SETTINGS, statement_cache_size=0
        )
    except asyncpg.ProtocolViolationError as error:
        if "startup parameter" not in str(error):
            raise
        refused = True
        connection = await hosts.connect(timeout_s=timeout_s, statement_cache_size=0)
    try:
        mode = None if refused else await connection.fetchval("SELECT current_setting('plan_cache_mode')")
        return mode != _SESSION_SETTINGS["plan_cache_mode"], encoding_of(connection)
    finally:
        await connection.close()
