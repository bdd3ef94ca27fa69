"""The database: a connection pool that works behind a pooler, with one time limit per request."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

import asyncpg
import structlog
from msgspec import Struct

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError
from orchboard.runtime.tasks import cancel_and_wait
from orchboard.store.connection.encoding import UTF8
from orchboard.store.connection.failover import Hosts
from orchboard.store.connection.failures import (
    CONNECT_ERRORS,
    CONNECTION_LOST,
    DATABASE_ERRORS,
    NO_ANSWER,
    NOT_READY,
    VALUE_ERRORS,
    error_summary,
    explain_failure,
    unavailable,
)
from orchboard.store.connection.types import Connection
from orchboard.store.postgres.circuit_breaker import CircuitBreaker
from orchboard.store.postgres.connection_pool import Pool
from orchboard.store.postgres.server_kind import Purpose, ServerKind, detect_kind
from orchboard.store.postgres.startup import Startup
from orchboard.store.sql_files import sql

T = TypeVar("T")
log = structlog.get_logger(__name__)


_NOT_KNOWN = ServerKind()

# The messages with which asyncpg (0.32, coreproto.pyx) refuses to write to a connection; it has no error class for that.
_NOT_SENT = ("cannot switch to state", "not connected")

# Stored text can't be read: parameters are replaced to fit the encoding, so they are not the cause.
_BROKEN_TEXT = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)

# Errors after which the circuit breaker probes; TimeoutError is an OSError.
_SUSPICIOUS = (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError)

# Resources that this process or machine lacks: no evidence that the database is unavailable.
_LOCAL_LIMITS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}


class LastFailure(Struct, frozen=True):
    """The last statement or probe that failed. Times are those of time.monotonic.

    message -- the public message
    since -- when the first statement or probe after the last success failed
    """

    message: str
    at: float
    since: float


class Database:
    """The database at a URL. Connects, and migrates the schema, on first use.

    Methods raise DatabaseUnavailableError when it can't be reached or is not ready within the request's time limit, and
    SetupError when its schema needs a manual repair. While the circuit breaker is open, `fetch` raises at once, also in
    requests that already wait.

    migrates -- False: raise DatabaseUnavailableError for a missing or old schema instead
    hosts -- of a standby, whose failures are logged by StandbyReads; None: those of the URL
    opened -- number of connections that the pool has opened
    written_at -- when a write was last answered, by time.monotonic; set by the writer's connection
    kind -- of the server; that of a plain one until a connection was opened
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int,
        timeout_s: float,
        migrates: bool = True,
        hosts: Hosts | None = None,
    ) -> None:
        self._url = url
        self._hosts = hosts or Hosts(url)
        self._is_standby = hosts is not None
        self.opened = 0
        self.written_at = float("-inf")
        self._size = connections
        self.timeout_s = timeout_s
        self._pool: Pool | None = None
        self.kind = _NOT_KNOWN
        self._startup = Startup(url, self.connect, timeout_s=timeout_s, migrates=migrates)
        self._why_open = NO_ANSWER  # public message while the breaker is open
        self.last_failure: LastFailure | None = None
        self._failing_since: float | None = None
        self.breaker = CircuitBreaker(self._probe, hosts=self._hosts.number, is_standby=self._is_standby)

    @property
    def has_standbys(self) -> bool:
        """Whether reads may fall back to a standby while no host accepts writes."""
        return self._hosts.has_fallback_standby

    @property
    def max_connections(self) -> int:
        """The maximum number of the pool's connections."""
        return self._size

    @property
    def pool_use(self) -> tuple[int, int]:
        """The numbers of the pool's connections in use and idle."""
        return (0, 0) if self._pool is None else self._pool.use

    def statement(self, name: str) -> str:
        """The statement `name`; for distributed results `name_on_nodes`."""
        return sql(f"{name}_on_nodes" if self.kind.is_distributed else name)

    async def fetch(
        self,
        statement: str,
        *arguments: Any,
        patience_s: float = limits.READ_RETRY_S,
        even_open: bool = False,
    ) -> list[asyncpg.Record]:
        """The rows of one statement, in its own transaction.

        The statement is sent again when the connection is lost, so it must be safe to run twice.

        even_open -- send it even while the circuit breaker is open
        """
        if self.breaker.is_open and not even_open:
            raise DatabaseUnavailableError(self._why_open)
        deadline = time.monotonic() + self.timeout_s
        # Each connection of the pool may be lost without this process knowing yet.
        for _ in range(self._size + 1):
            with suppress(asyncpg.InternalClientError):
                rows = await self._try_to_fetch(statement, arguments, patience_s, deadline)
                if rows is not None:
                    return rows
        raise DatabaseUnavailableError(NO_ANSWER)

    def complete_until(self) -> datetime | None:
        """None: a statement sees every commit before its `now()`; see Reads."""
        return None

    async def _try_to_fetch(
        self, statement: str, arguments: tuple[Any, ...], patience_s: float, deadline: float
    ) -> list[asyncpg.Record] | None:
        """The rows; None when the connection was lost with the statement."""
        try:
            async with self.breaker.limit(deadline - time.monotonic()):
                pool = self._pool or await self._opened(patience_s)
                connection = await _retry(pool.acquire, patience_s)
                with pool.releasing(connection):
                    try:
                        rows = await _send(connection, statement, *arguments)
                        self.breaker.answers += 1
                        self._failing_since = None
                        return rows
                    except CONNECTION_LOST:
                        with suppress(asyncpg.InterfaceError):  # already terminated and out of the pool
                            connection.terminate()
                        return None
        except DATABASE_ERRORS as error:
            if isinstance(error, asyncpg.PostgresError) and not isinstance(error, _SUSPICIOUS):
                self.breaker.answers += 1
            if isinstance(error, VALUE_ERRORS) and not isinstance(error, _BROKEN_TEXT):
                raise
            if patience_s > 0 and isinstance(error, _SUSPICIOUS):
                self.breaker.start_probing()
            refusal = unavailable(error, is_standby=self._is_standby)
            self._keep_failure(str(refusal))
            raise refusal from error

    async def _opened(self, patience_s: float) -> Pool:
        """The pool. Raises DatabaseUnavailableError when a migration takes longer than STARTUP_S."""
        try:
            async with asyncio.timeout(limits.STARTUP_S) as limit:
                return await _retry(self.open, patience_s)
        except TimeoutError:
            if limit.expired():
                raise DatabaseUnavailableError(NOT_READY) from None
            raise

    async def connect(self, purpose: Purpose = Purpose.ANY) -> Connection:
        """Open a connection outside the pool, for migrations, bulk work and the writer; the caller closes it."""
        if self.kind is _NOT_KNOWN:
            self.kind = await detect_kind(self._hosts, self.timeout_s)
            if self.kind.encoding != UTF8:
                log.warning(
                    "the database's encoding is not UTF8: text that it can't hold is stored with `?` in its place; "
                    "`orchboard doctor` says what to do",
                    encoding=self.kind.encoding,
                )
        return await self._hosts.connect(timeout_s=self.timeout_s, **self.kind.options(purpose))

    async def connect_to_node(self, name: str, port: int) -> Connection:
        """Open a connection to a node of the cluster, which may insert results that it stores itself; the caller closes it."""
        options = self.kind.options(Purpose.INSERT_ON_NODE)
        return await self._hosts.connect_to(name, port, timeout_s=self.timeout_s, **options)

    async def open(self) -> Pool:
        """The pool, after the database is created and migrated, however long that takes."""
        if self._pool is None:
            await self._startup.wait()
        if self._pool is None:
            self._pool = Pool(self._connect_to_read, size=self._size, is_reusable=self._is_reusable)
        return self._pool

    async def describe(self) -> None:
        """Log the schema's name, and what an operator should know about it."""
        await self._startup.describe()

    async def close(self) -> None:
        """Close all connections within seconds; cancels a migration that is running."""
        await self.breaker.close()
        await self._startup.close()
        if self._pool is not None:
            # An unavailable database does not answer a graceful close.
            await self._pool.close(0 if self.breaker.is_open else limits.SHUTDOWN_CLOSE_S)

    async def _connect_to_read(self) -> Connection:
        self.opened += 1
        options = self.kind.options(Purpose.ANY)
        return await self._hosts.connect_to_read(
            timeout_s=self.timeout_s, written_at=self.written_at, **options
        )

    def _is_reusable(self, connection: Connection) -> bool:
        return not (self.breaker.is_open or self._hosts.is_fallback_standby(connection))

    async def _probe(self) -> bool:
        """Whether a new connection or an idle one answers: a new one may wait for name resolution or a server process."""
        asking = {asyncio.ensure_future(self._new_connection_answers())}
        if self._pool is not None and (idle := await self._pool.acquire_idle()) is not None:
            asking.add(asyncio.ensure_future(self._connection_answers(self._pool, idle)))
        try:
            while asking:
                done, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                if any(each.result() for each in done):
                    return True
        finally:
            await cancel_and_wait(asking)
        return False

    async def _new_connection_answers(self) -> bool:
        try:
            connection = await (self.connect() if self._pool is None else self._connect_to_read())
            try:
                await connection.fetchval(sql("now"))
                self._leave_former_primary(connection)
            finally:
                connection.terminate()
        except asyncpg.TooManyConnectionsError:
            return True
        except asyncio.CancelledError:  # the probe timed out
            self._why_open = NO_ANSWER
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _LOCAL_LIMITS:
                return True
            self._note_failure(error)
            return False
        return True

    def _leave_former_primary(self, newest: Connection) -> None:
        """Have reads on a primary that is silent repeated on the host that has just answered.

        Without this they would wait for DB_TIMEOUT: a probe that a standby answers does not open the breaker.
        """
        if self._pool is not None:
            self._pool.terminate_if(lambda connection: self._hosts.is_abandoned(connection, newest))

    async def _connection_answers(self, pool: Pool, connection: Connection) -> bool:
        try:
            with pool.releasing(connection):
                await connection.fetchval(sql("now"))
        except (*DATABASE_ERRORS, asyncpg.InternalClientError):
            return False
        return True

    def _note_failure(self, error: Exception) -> None:
        """Set the message of requests that fail at once; log it when it changes."""
        message = explain_failure(error).public_message
        if message not in (self._why_open, NO_ANSWER) and not self._is_standby:
            log.warning("database unavailable", because=message, error=error_summary(error))
        self._why_open = message
        self._keep_failure(message)

    def _keep_failure(self, message: str) -> None:
        now = time.monotonic()
        self._failing_since = now if self._failing_since is None else self._failing_since
        self.last_failure = LastFailure(message, now, self._failing_since)


def was_not_sent(error: asyncpg.InternalClientError) -> bool:
    """Whether the server ended the connection before anything was sent; else the outcome is unknown."""
    return str(error).startswith(_NOT_SENT)


async def _send(connection: Connection, statement: str, *arguments: Any) -> list[asyncpg.Record]:
    """The rows of a statement. Raises InternalClientError when it was not sent and may be sent on another connection."""
    try:
        return await connection.fetch(statement, *arguments)
    except asyncpg.InternalClientError as error:
        connection.terminate()
        if was_not_sent(error):
            raise
        raise DatabaseUnavailableError(NO_ANSWER) from error


async def _retry(attempt: Callable[[], Awaitable[T]], patience_s: float) -> T:
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
