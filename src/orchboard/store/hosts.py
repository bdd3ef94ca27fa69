"""The hosts that a database's URL names: which of them to connect to, and how long to try."""

from __future__ import annotations

import time
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# One that does not even refuse must not use up the time of the others.
_HOST_TIMEOUT_S = 2.0

# So long after none took writes, who wants to read does not ask for one first.
_AWAY_S = 0.5

_WRITABLE = ("read-write", "primary")

CANT_CONNECT = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
)


class NoWritableHostError(ConnectionError):
    """None of the hosts takes writes: the primary is away and no standby is promoted yet."""

    def __init__(self) -> None:
        super().__init__("none of the hosts takes writes")


class Hosts:
    """Connects to the first host that is there and is what the URL's target_session_attrs asks for.

    Of several, the one that was good last is tried first, and none for longer than two seconds.
    """

    def __init__(self, url: str) -> None:
        self._urls = one_by_one(url)
        target = parse_qs(urlsplit(url).query).get("target_session_attrs", [""])[-1]
        self._can_stand_in = len(self._urls) > 1 and target in _WRITABLE
        self._away_until = float("-inf")

    @property
    def number(self) -> int:
        """How many hosts there are."""
        return len(self._urls)

    async def connect(self, *, timeout_s: float, **options: Any) -> Connection:
        """A connection. Raises one of CANT_CONNECT, of the host that was tried last."""
        try:
            return await self._connect(timeout_s, **options)
        except CANT_CONNECT:
            self._away_until = time.monotonic() + _AWAY_S
            raise

    async def connect_to_read(self, *, timeout_s: float, **options: Any) -> Connection:
        """A connection to whichever host is there, when none is that takes writes; see `is_stand_in`."""
        if not self._can_stand_in:
            return await self.connect(timeout_s=timeout_s, **options)
        if time.monotonic() >= self._away_until:
            try:
                return await self.connect(timeout_s=timeout_s, **options)
            except CANT_CONNECT:
                pass
        return await self._connect(timeout_s, target_session_attrs="any", **options)

    def is_stand_in(self, connection: Any) -> bool:
        """Whether a connection reads from a standby in place of the primary: not to be kept, it may lag behind."""
        if not self._can_stand_in or connection.is_closed():
            return False
        return bool(getattr(connection.get_settings(), "in_hot_standby", "off") == "on")

    async def _connect(self, timeout_s: float, **options: Any) -> Connection:
        host_timeout_s = timeout_s if len(self._urls) == 1 else min(timeout_s, _HOST_TIMEOUT_S)
        failure: Exception = NoWritableHostError()
        for url in tuple(self._urls):
            try:
                connection: Connection = await asyncpg.connect(url, timeout=host_timeout_s, **options)
            except asyncpg.TargetServerAttributeNotMatched:
                failure = NoWritableHostError()
            except CANT_CONNECT as error:
                failure = error
            else:
                if "target_session_attrs" not in options:
                    self._urls.remove(url)
                    self._urls.insert(0, url)
                return connection
        raise failure


def one_by_one(url: str) -> list[str]:
    """A URL for each host of one that names several; where they can't be told apart, or are asked for a preference
    among them, just that.

    >>> one_by_one("postgresql://u:p@a:1,b/db?target_session_attrs=primary")
    ['postgresql://u:p@a:1/db?target_session_attrs=primary', 'postgresql://u:p@b/db?target_session_attrs=primary']
    """
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    options = parse_qs(parts.query)
    if (
        "," not in hosts
        or "host" in options
        or "port" in options
        or "prefer-standby" in options.get("target_session_attrs", ())
    ):
        return [url]
    return [parts._replace(netloc=f"{login}{at}{host}").geturl() for host in dict.fromkeys(hosts.split(","))]
