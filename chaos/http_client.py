"""An HTTP client that reports how a request failed, and never retries."""

import asyncio
from select import select
from types import TracebackType
from typing import Self

from msgspec import Struct

# Long, as a request may wait in the socket's queue while a server starts on a busy machine; the verdict has the time.
_TIMEOUT_S = 120.0


class Failure(Exception):  # noqa: N818 - an observation, not an error
    """A request without a complete response. The message tells how it failed."""


class Reply(Struct, frozen=True):
    """A complete response.

    head -- status line and headers
    is_last -- whether it has `Connection: close`
    """

    status: int
    head: bytes
    body: bytes
    is_last: bool


class Caller:
    """A client with one connection at a time.

    keeps -- whether to reuse the connection
    address -- local address, in 127.0.0.0/8
    """

    def __init__(self, port: int, *, keeps: bool = True, address: str = "127.0.0.1") -> None:
        self._port = port
        self._address = address
        self._keeps = keeps
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    async def ask(self, request: bytes) -> Reply:
        """Send a raw request; the response. Raises Failure."""
        whole = False
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                reply = await self._exchange(request)
            whole = self._keeps and not reply.is_last
            return reply
        except TimeoutError:
            raise Failure(f"no answer within {_TIMEOUT_S:.0f} s") from None
        finally:
            if not whole:
                self._close()

    async def _exchange(self, request: bytes) -> Reply:
        reader, writer, was_used = await self._connection()
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError) as error:
            if isinstance(error, asyncio.IncompleteReadError) and error.partial:
                raise Failure("broken off in the headers") from None
            where = "a reused connection" if was_used else "a new connection"
            raise Failure(f"no byte of a response on {where} ({type(error).__name__})") from None
        lowered = head.lower()
        try:
            if b"\r\ntransfer-encoding: chunked\r\n" in lowered:
                body = await _read_chunks(reader)
            else:
                body = await reader.readexactly(_content_length(lowered))
        except (OSError, asyncio.IncompleteReadError):
            raise Failure("broken off in the body") from None
        return Reply(int(head[9:12]), head, body, b"\r\nconnection: close\r\n" in lowered)

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bool]:
        """Return a connection, and whether it was used before."""
        if self._open is not None and _is_over(self._open[1]):
            self._close()  # the server has closed the idle connection; clients check this before they send
        if self._open is not None:
            return *self._open, True
        try:
            self._open = await asyncio.open_connection(
                "127.0.0.1", self._port, limit=1 << 24, local_addr=(self._address, 0)
            )
        except OSError as error:
            raise Failure(f"no connection ({type(error).__name__})") from None
        writer = self._open[1]
        if writer.get_extra_info("sockname") == writer.get_extra_info("peername"):
            self._close()  # without a listener, TCP may connect the socket to itself
            raise Failure("no connection (to itself)")
        return *self._open, False

    def _close(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened[1].close()


async def ask_once(port: int, request: bytes) -> Reply:
    """Send a request on a new connection; the response. Raises Failure."""
    async with Caller(port, keeps=False) as caller:
        return await caller.ask(request)


def get(target: str) -> bytes:
    """A raw GET request."""
    return f"GET {target} HTTP/1.1\r\nHost: chaos\r\n\r\n".encode()


def post(body: bytes, signature: str) -> bytes:
    """A raw signed post."""
    return (
        f"POST /api/post_stats HTTP/1.1\r\nHost: chaos\r\nContent-Type: application/json\r\n"
        f"Authorization: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def _is_over(writer: asyncio.StreamWriter) -> bool:
    """Whether an idle connection is readable, which means that it is closed."""
    return bool(select([writer.get_extra_info("socket").fileno()], [], [], 0)[0])


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return bytes(body)


def _content_length(head: bytes) -> int:
    _, name, rest = head.partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if name else 0
