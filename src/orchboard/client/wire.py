"""What both transports have in common: addresses, limits of the connection pool, and the meaning of exceptions."""

import errno
import os
import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpcore2
from httpcore2 import URL

from orchboard.client.exchange import Failure, Request
from orchboard.client.response_reader import BrokenBodyError, TooLargeBodyError
from orchboard.client.url import encode_host

CONNECT_S = 5.0
"""Limit of establishing a connection."""

KEEP_ALIVE_S = 55.0
"""An idle connection is not reused after this. Proxies close one after 60 s, orchboard after KEEP_ALIVE_TIMEOUT (95 s)."""

MAX_CONNECTIONS = 64
"""Open connections of one client; further requests wait for one of them."""

FAILURES = (
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    BrokenBodyError,
    TooLargeBodyError,
)

# Raised before the first byte of a request is sent.
_UNSENT = (
    httpcore2.ConnectError,
    httpcore2.ConnectTimeout,
    httpcore2.PoolTimeout,
    httpcore2.LocalProtocolError,
)


class Origin:
    """The server of a base URL."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._scheme, self._port, self._prefix = parts.scheme, parts.port, parts.path
        self._host = encode_host(parts.hostname or "")
        name = f"[{self._host}]" if ":" in self._host else self._host
        self._host_header = name if parts.port is None else f"{name}:{parts.port}"

    def ssl_context(self) -> ssl.SSLContext | None:
        """What TLS is verified with: the certificates of the system, or SSL_CERT_FILE. None without TLS."""
        return httpcore2.default_ssl_context() if self._scheme == "https" else None

    def url(self, target: str) -> URL:
        """The URL of a path and query."""
        return URL(scheme=self._scheme, host=self._host, port=self._port, target=self._prefix + target)

    def headers(self, request: Request) -> list[tuple[bytes, bytes]]:
        """The headers of a request."""
        pairs = {"Host": self._host_header, **request.headers}
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs.items()]


class IdleLimit(float):
    """Seconds for each read, in place of a moment by which the whole answer has arrived."""


def deadlines(request: Request, idle_s: float | None = None) -> dict[str, dict[str, float]]:
    """The limits of a request for httpcore2. idle_s -- limit of each read of an answer that may take any time

    Those of connect, read and write are moments, which the backends turn into what is left of them: httpcore2 counts
    a limit anew for each read.
    """
    now = time.monotonic()
    moments = {"read": request.deadline, "write": request.deadline}
    if idle_s is not None:
        moments["read"] = IdleLimit(idle_s)
    moments["connect"] = min(request.deadline, now + CONNECT_S)
    return {"timeout": {**moments, "pool": max(0.0, request.deadline - now)}}


def seconds_left(moment: float | None) -> float | None:
    """What is left until a moment; never 0, which is no limit but a non-blocking socket."""
    if isinstance(moment, IdleLimit):
        return float(moment)
    return None if moment is None else max(0.001, moment - time.monotonic())


def failure_of(error: BaseException) -> Failure:
    """The failure that one of FAILURES stands for."""
    was_sent = not isinstance(error, _UNSENT)
    if isinstance(error, httpcore2.TimeoutException):
        return Failure("out of time", was_sent, is_timeout=True)
    if isinstance(error, TooLargeBodyError):
        return Failure("the answer is too large", was_sent, is_too_large=True)
    causes = list(_chain(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            detail = getattr(cause, "verify_message", None) or cause.reason or cause
            return Failure(f"TLS failed: {detail}", was_sent, is_tls_failure=True)
        if isinstance(cause, socket.gaierror):
            return Failure("its host name is unknown", was_sent)
    if was_sent:
        return Failure("the connection was closed", was_sent)
    numbers = [cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno]
    # With several addresses: a refusal says more than a missing route.
    number = errno.ECONNREFUSED if errno.ECONNREFUSED in numbers else (numbers or [0])[-1]
    return Failure(os.strerror(number).lower() if number else "can't connect", was_sent)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and its causes, those of groups too."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _chain(one)
        error = error.__cause__ or error.__context__
