"""Failover between the hosts of a URL: which host to connect to, and for how long to try."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any, cast

import asyncpg
from msgspec.structs import replace

from orchboard import limits
from orchboard.store.connection.conninfo import Host, resolve
from orchboard.store.connection.failures import CONNECT_ERRORS
from orchboard.store.connection.types import Connection

_WRITABLE = ("read-write", "primary")

# Errors that an attempt with or without TLS would only repeat.
_FINAL = (TimeoutError, ConnectionRefusedError, socket.gaierror, asyncpg.InvalidPasswordError)


class NoWritableHostError(ConnectionError):
    """No host accepts writes: the primary is unavailable, and no standby is promoted yet."""

    def __init__(self) -> None:
        super().__init__("none of the hosts accepts writes")


class Hosts:
    """Connects to the first available host that matches target_session_attrs.

    The host of the last success is tried first, a host that did not answer in time last. connect_timeout limits the time per host; with several hosts its default is
    two seconds. Raises SetupError for an invalid URL.

    only -- the number of the only host to connect to, whatever target_session_attrs says; None: all
    """

    def __init__(self, url: str, *, only: int | None = None) -> None:
        self._conninfo = resolve(url)
        self._order = list(self._conninfo.hosts)
        if only is not None:
            self._order = [self._order[only]]
            self._conninfo = replace(
                self._conninfo,
                target_session_attrs="any",
                connect_timeout_s=self._conninfo.connect_timeout_s or limits.HOST_CONNECT_S,
            )
        self._has_fallback_standby = len(self._order) > 1 and self._conninfo.target_session_attrs in _WRITABLE
        self._no_primary_at = float("-inf")  # by time.monotonic
        self._silent_at: dict[Host, float] = {}

    @property
    def number(self) -> int:
        """Number of hosts."""
        return len(self._order)

    @property
    def dbname(self) -> str:
        """The database in the URL; empty when it has none."""
        return self._conninfo.dbname

    async def connect(self, *, timeout_s: float, **options: Any) -> Connection:
        """Open a connection, with options of asyncpg.connect. Raises one of CONNECT_ERRORS, from the last host."""
        try:
            if self._conninfo.target_session_attrs != "prefer-standby":
                return await self._connect(timeout_s, self._conninfo.target_session_attrs, **options)
            try:
                return await self._connect(timeout_s, "standby", **options)
            except CONNECT_ERRORS:
                return await self._connect(timeout_s, "any", **options)
        except CONNECT_ERRORS:
            self._no_primary_at = time.monotonic()
            raise

    async def connect_to(self, name: str, port: int, *, timeout_s: float, **options: Any) -> Connection:
        """Open a connection to another server than those of the URL, as the same user, to the same database."""
        async with asyncio.timeout(min(timeout_s, limits.HOST_CONNECT_S)):
            return await self._connect_to(
                Host(name, "", port), target_session_attrs="any", timeout=timeout_s, **options
            )

    async def connect_to_read(
        self, *, timeout_s: float, written_at: float = float("-inf"), **options: Any
    ) -> Connection:
        """Open a connection for reads: to any available host if no host accepts writes; see `is_fallback_standby`.

        Leaves out hosts that did not answer within the last HOST_SILENT_S, unless no other host can be reached.

        written_at -- when a write was last answered, by time.monotonic; failures before that no longer count
        """
        if not self._has_fallback_standby:
            return await self.connect(timeout_s=timeout_s, **options)
        now = time.monotonic()
        since = max(written_at, now - limits.HOST_SILENT_S)
        if self._no_primary_at <= max(written_at, now - limits.PRIMARY_AWAY_S):
            try:
                return await self._connect(
                    timeout_s, self._conninfo.target_session_attrs, hosts=self._not_silent(since), **options
                )
            except CONNECT_ERRORS:
                self._no_primary_at = time.monotonic()
        hosts = self._not_silent(since)  # without those that did not answer just now
        try:
            return await self._connect(timeout_s, "any", hosts=hosts, **options)
        except CONNECT_ERRORS:
            if len(hosts) == len(self._order):
                raise
        return await self._connect(timeout_s, "any", **options)

    def _not_silent(self, since: float) -> list[Host]:
        """The hosts without those that did not answer in time since some moment; all if none is left."""
        return [host for host in self._order if self._silent_at.get(host, float("-inf")) <= since] or list(
            self._order
        )

    @property
    def has_fallback_standby(self) -> bool:
        """Whether reads may fall back to a standby while no host accepts writes."""
        return self._has_fallback_standby

    def is_fallback_standby(self, connection: Any) -> bool:
        """Whether a connection is to a standby instead of the primary. Do not reuse it: a standby may lag behind."""
        if not self._has_fallback_standby or connection.is_closed():
            return False
        return bool(getattr(connection.get_settings(), "in_hot_standby", "off") == "on")

    def is_abandoned(self, connection: Any, newest: Any) -> bool:
        """Whether a connection is to a former primary: a newer connection was made to another host.

        Hosts are tried in order, and the host that worked last is first: it did not accept the newer connection.
        """
        if not self._has_fallback_standby or connection.is_closed() or self.is_fallback_standby(connection):
            return False
        return _address(connection) != _address(newest)

    async def _connect(
        self, timeout_s: float, target: str, *, hosts: Sequence[Host] | None = None, **options: Any
    ) -> Connection:
        """Connect to the first of some hosts that matches a target, None: of all."""
        limit_s = self._conninfo.connect_timeout_s or (
            timeout_s if len(self._order) == 1 else limits.HOST_CONNECT_S
        )
        failure: Exception = NoWritableHostError()
        if self._conninfo.in_random_order:
            random.shuffle(self._order)
        for host in tuple(self._order if hosts is None else hosts):
            try:
                async with asyncio.timeout(min(timeout_s, limit_s)):
                    connection = await self._connect_to(
                        host, target_session_attrs=target, timeout=timeout_s, **options
                    )
            except asyncpg.TargetServerAttributeNotMatched:
                failure = NoWritableHostError()
            except CONNECT_ERRORS as error:
                failure = error
                if isinstance(error, TimeoutError):
                    self._try_last(host)
            else:
                if target == self._conninfo.target_session_attrs:
                    self._order.remove(host)
                    self._order.insert(0, host)
                return connection
        raise failure

    def _try_last(self, host: Host) -> None:
        """Try a host after the others from now on: it is silent, and costs each attempt the time limit of a host."""
        self._order.remove(host)
        self._order.append(host)
        self._silent_at[host] = time.monotonic()

    async def _connect_to(self, host: Host, **options: Any) -> Connection:
        first, *second = (False,) if host.is_socket else self._conninfo.tls.attempts
        try:
            return await self._attempt(host, with_tls=first, **options)
        except (OSError, asyncpg.InvalidAuthorizationSpecificationError) as error:
            if not second or isinstance(error, _FINAL):
                raise
        return await self._attempt(host, with_tls=not first, **options)

    async def _attempt(self, host: Host, *, with_tls: bool, **options: Any) -> Connection:
        """Open one connection to one host. Passes every parameter, so that the driver reads no environment or files itself."""
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
        # asyncpg has no public access to its socket.
        conninfo.keepalives.set_on(connection._transport.get_extra_info("socket"))
        return cast("Connection", connection)


def _address(connection: Any) -> object:
    # asyncpg has no public access to its socket.
    return connection._transport.get_extra_info("peername")
