"""Connections to the hosts that a database's URL names: which of them to connect to, and how long to try."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import time
from typing import Any, cast

import asyncpg

from orchboard.store.connection.conninfo import Host, resolve
from orchboard.store.connection.types import Connection

# Limit for each of several hosts without a connect_timeout: one that never answers must not use up the others' time.
_HOST_TIMEOUT_S = 2.0

# For this long after no host took writes, readers do not look for one that does.
_AWAY_S = 0.5

_WRITABLE = ("read-write", "primary")

CONNECT_ERRORS = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
)

# Errors that another attempt, with TLS or without, would only repeat.
_FINAL = (TimeoutError, ConnectionRefusedError, socket.gaierror, asyncpg.InvalidPasswordError)


class NoWritableHostError(ConnectionError):
    """None of the hosts takes writes: the primary is away and no standby is promoted yet."""

    def __init__(self) -> None:
        super().__init__("none of the hosts takes writes")


class Hosts:
    """Connects to the first host that is there and is what target_session_attrs asks for.

    Of several, the one that was good last is tried first, and none for longer than connect_timeout, which is two
    seconds when it is not given. Raises SetupError for a URL that can't be used.
    """

    def __init__(self, url: str) -> None:
        self._conninfo = resolve(url)
        self._order = list(self._conninfo.hosts)
        self._can_stand_in = len(self._order) > 1 and self._conninfo.target_session_attrs in _WRITABLE
        self._away_until = float("-inf")

    @property
    def number(self) -> int:
        """How many hosts there are."""
        return len(self._order)

    @property
    def dbname(self) -> str:
        """The database that the URL names; empty when it names none."""
        return self._conninfo.dbname

    async def connect(self, *, timeout_s: float, **options: Any) -> Connection:
        """A connection, with options of asyncpg.connect. Raises one of CONNECT_ERRORS, of the host that was tried last."""
        try:
            if self._conninfo.target_session_attrs != "prefer-standby":
                return await self._connect(timeout_s, self._conninfo.target_session_attrs, **options)
            try:
                return await self._connect(timeout_s, "standby", **options)
            except CONNECT_ERRORS:
                return await self._connect(timeout_s, "any", **options)
        except CONNECT_ERRORS:
            self._away_until = time.monotonic() + _AWAY_S
            raise

    async def connect_to_read(self, *, timeout_s: float, **options: Any) -> Connection:
        """A connection to whichever host is there, when none is that takes writes; see `is_fallback_standby`."""
        if not self._can_stand_in:
            return await self.connect(timeout_s=timeout_s, **options)
        if time.monotonic() >= self._away_until:
            try:
                return await self.connect(timeout_s=timeout_s, **options)
            except CONNECT_ERRORS:
                pass
        return await self._connect(timeout_s, "any", **options)

    @property
    def has_fallback_standby(self) -> bool:
        """Whether a standby may be read from while no host takes writes."""
        return self._can_stand_in

    def is_fallback_standby(self, connection: Any) -> bool:
        """Whether a connection reads from a standby in place of the primary: not to be kept, it may lag behind."""
        if not self._can_stand_in or connection.is_closed():
            return False
        return bool(getattr(connection.get_settings(), "in_hot_standby", "off") == "on")

    async def _connect(self, timeout_s: float, target: str, **options: Any) -> Connection:
        limit_s = self._conninfo.connect_timeout_s or (
            timeout_s if len(self._order) == 1 else _HOST_TIMEOUT_S
        )
        failure: Exception = NoWritableHostError()
        if self._conninfo.in_random_order:
            random.shuffle(self._order)
        for host in tuple(self._order):
            try:
                async with asyncio.timeout(min(timeout_s, limit_s)):
                    connection = await self._connect_to(
                        host, target_session_attrs=target, timeout=timeout_s, **options
                    )
            except asyncpg.TargetServerAttributeNotMatched:
                failure = NoWritableHostError()
            except CONNECT_ERRORS as error:
                failure = error
            else:
                if target == self._conninfo.target_session_attrs:
                    self._order.remove(host)
                    self._order.insert(0, host)
                return connection
        raise failure

    async def _connect_to(self, host: Host, **options: Any) -> Connection:
        first, *second = (False,) if host.is_socket else self._conninfo.tls.attempts
        try:
            return await self._attempt(host, with_tls=first, **options)
        except (OSError, asyncpg.InvalidAuthorizationSpecificationError) as error:
            if not second or isinstance(error, _FINAL):
                raise
        return await self._attempt(host, with_tls=not first, **options)

    async def _attempt(self, host: Host, *, with_tls: bool, **options: Any) -> Connection:
        """One connection to one host. Every parameter is given, so that the driver looks up none by itself."""
        conninfo = self._conninfo
        dbname = options.pop("database", conninfo.dbname or conninfo.user)
        context: ssl.SSLContext | bool = conninfo.tls.context(host.name) if with_tls else False
        connection: Any = await asyncpg.connect(
            host=host.target,
            port=host.port,
            user=conninfo.user,
            password=conninfo.password_at(host, dbname),
            database=dbname,
            ssl=context,
            direct_tls=with_tls and conninfo.tls.direct,
            server_settings={**conninfo.server_settings, **options.pop("server_settings", {})},
            krbsrvname=conninfo.krbsrvname,
            gsslib="gssapi",
            **options,
        )
        # asyncpg has no other way to its socket.
        conninfo.keepalives.set_on(connection._transport.get_extra_info("socket"))
        return cast("Connection", connection)
