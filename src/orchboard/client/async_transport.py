"""The asyncio transport: requests over pooled keep-alive connections."""

import ssl
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack

from httpcore2 import (
    SOCKET_OPTION,
    AnyIOBackend,
    AsyncConnectionPool,
    AsyncNetworkBackend,
    AsyncNetworkStream,
)
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


class AsyncTransport:
    """Sends requests to one server. Tasks of one event loop may share it."""

    def __init__(self, base_url: str) -> None:
        self._origin = Origin(base_url)
        self._pool = AsyncConnectionPool(
            ssl_context=self._origin.ssl_context(),
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=_Backend(),
        )

    async def send(self, request: Request) -> Outcome:
        """Send a request and read the whole answer, by the deadline of the request."""
        reader = ResponseReader(request.max_bytes)
        try:
            async with self._pool.stream(
                request.method,
                self._origin.url(request.target),
                headers=self._origin.headers(request),
                content=request.content,
                extensions=deadlines(request),
            ) as response:
                reader.begin(response.status, response.headers, response.extensions["reason_phrase"])
                async for chunk in response.aiter_stream():
                    reader.add(chunk)
            return reader.end()
        except FAILURES as error:
            return failure_of(error)

    def stream(self, idle_s: float) -> "AsyncAnswerStream":
        """Where one answer is read piece by piece. idle_s -- limit of each read"""
        return AsyncAnswerStream(self._pool, self._origin, idle_s)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class AsyncAnswerStream:
    """One answer that is read piece by piece, within an `async with` block."""

    def __init__(self, pool: AsyncConnectionPool, origin: Origin, idle_s: float) -> None:
        self._pool = pool
        self._origin = origin
        self._idle_s = idle_s
        self._open = AsyncExitStack()
        self._response: StreamedResponse | None = None

    async def __aenter__(self) -> "AsyncAnswerStream":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def send(self, request: Request) -> Outcome:
        """Send a request; the answer, without its body if it is a 200."""
        await self._open.aclose()
        self._reader = ResponseReader(request.max_bytes)
        try:
            self._response = await self._open.enter_async_context(
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
                async for chunk in response.aiter_stream():
                    self._reader.add(chunk)
            return self._reader.head() if response.status == 200 else self._reader.end()
        except FAILURES as error:
            return failure_of(error)

    async def pieces(self) -> AsyncGenerator[bytes | Failure, None]:
        """The decoded body of a 200; a Failure at the end if it is incomplete."""
        assert self._response is not None  # noqa: S101 - `send` returned a 200
        try:
            async for chunk in self._response.aiter_stream():
                self._reader.add(chunk)
                yield self._reader.take()
            self._reader.end()
        except FAILURES as error:
            yield failure_of(error)


class _Backend(AsyncNetworkBackend):
    def __init__(self) -> None:
        self._backend = AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        return _Stream(
            await self._backend.connect_tcp(host, port, seconds_left(timeout), local_address, socket_options)
        )


class _Stream(AsyncNetworkStream):
    def __init__(self, stream: AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, seconds_left(timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, seconds_left(timeout))

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> AsyncNetworkStream:
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, seconds_left(timeout)))

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
