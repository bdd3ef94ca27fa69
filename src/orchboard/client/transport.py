"""The blocking transport: requests over pooled keep-alive connections."""

import ssl
import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from httpcore2 import SOCKET_OPTION, ConnectionPool, NetworkBackend, NetworkStream, SyncBackend
from httpcore2 import Response as StreamedResponse

from orchboard.client.exchange import Failure, Outcome, Request
from orchboard.client.response_reader import ResponseReader
from orchboard.client.wire import (
    FAILURES,
    KEEP_ALIVE_S,
    MAX_CONNECTIONS,
    Origin,
    deadlines,
    failure_of,
    seconds_left,
)


class Transport:
    """Sends requests to one server. Threads may share it."""

    def __init__(self, base_url: str) -> None:
        self._origin = Origin(base_url)
        self._pool = ConnectionPool(
            ssl_context=self._origin.ssl_context(),
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=_Backend(),
        )
        weakref.finalize(self, self._pool.close)  # for a client that is never closed

    def send(self, request: Request) -> Outcome:
        """Send a request and read the whole answer, by the deadline of the request."""
        reader = ResponseReader(request.max_bytes)
        try:
            with self._pool.stream(
                request.method,
                self._origin.url(request.target),
                headers=self._origin.headers(request),
                content=request.content,
                extensions=deadlines(request),
            ) as response:
                reader.begin(response.status, response.headers, response.extensions["reason_phrase"])
                for chunk in response.iter_stream():
                    reader.add(chunk)
            return reader.end()
        except FAILURES as error:
            return failure_of(error)

    def stream(self, idle_s: float) -> "AnswerStream":
        """Where one answer is read piece by piece. idle_s -- limit of each read"""
        return AnswerStream(self._pool, self._origin, idle_s)

    def close(self) -> None:
        """Close all connections. A later request opens a new one."""
        self._pool.close()


class AnswerStream:
    """One answer that is read piece by piece, within a `with` block."""

    def __init__(self, pool: ConnectionPool, origin: Origin, idle_s: float) -> None:
        self._pool = pool
        self._origin = origin
        self._idle_s = idle_s
        self._open = ExitStack()
        self._response: StreamedResponse | None = None

    def __enter__(self) -> "AnswerStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def send(self, request: Request) -> Outcome:
        """Send a request; the answer, without its body if it is a 200."""
        self._open.close()
        self._reader = ResponseReader(request.max_bytes)
        try:
            self._response = self._open.enter_context(
                self._pool.stream(
                    request.method,
                    self._origin.url(request.target),
                    headers=self._origin.headers(request),
                    extensions=deadlines(request, self._idle_s),
                )
            )
            response = self._response
            self._reader.begin(response.status, response.headers, response.extensions["reason_phrase"])
            if response.status != 200:
                for chunk in response.iter_stream():
                    self._reader.add(chunk)
            return self._reader.head() if response.status == 200 else self._reader.end()
        except FAILURES as error:
            return failure_of(error)

    def pieces(self) -> Iterator[bytes | Failure]:
        """The decoded body of a 200; a Failure at the end if it is incomplete."""
        assert self._response is not None  # noqa: S101 - `send` returned a 200
        try:
            for chunk in self._response.iter_stream():
                self._reader.add(chunk)
                yield self._reader.take()
            self._reader.end()
        except FAILURES as error:
            yield failure_of(error)


class _Backend(NetworkBackend):
    def __init__(self) -> None:
        self._backend = SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> NetworkStream:
        return _Stream(
            self._backend.connect_tcp(host, port, seconds_left(timeout), local_address, socket_options)
        )


class _Stream(NetworkStream):
    def __init__(self, stream: NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, seconds_left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, seconds_left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, seconds_left(timeout)))

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
