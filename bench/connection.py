"""A client with one keep-alive connection, with as little overhead in a latency as Python allows."""

import socket
import time
from types import TracebackType
from typing import Self

from msgspec import Struct

_TIMEOUT_S = 60.0


class Reply(Struct, frozen=True):
    """A response: status line and headers as received, body, and latency."""

    head: bytes
    body: bytes
    ms: float

    @property
    def status(self) -> int:
        """The status number."""
        return int(self.head[9:12])

    def headers(self) -> list[tuple[str, str]]:
        """The headers as received."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [(name, value) for name, _, value in (line.partition(": ") for line in lines if line)]


class Connection:
    """A keep-alive connection to a local server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        self._socket.close()

    def get(self, path: str) -> Reply:
        """Send a GET and return its response. Raises RuntimeError if it is not 200.

        If the server has closed an idle connection, the request is sent on a new one.
        """
        request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
        try:
            reply = self.send(request)
        except ConnectionError:
            self._socket.close()
            self._open()
            reply = self.send(request)
        if reply.status != 200:
            raise RuntimeError(
                f"{path}: {reply.head[9:12].decode()} {reply.body[:200].decode(errors='replace')}"
            )
        return reply

    def send(self, request: bytes) -> Reply:
        """Send a raw request and return its response."""
        began_at = time.perf_counter()
        self._socket.sendall(request)
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive()
        head, parts = received[: end + 2], [received[end + 4 :]]
        if is_chunked(head):
            while not parts[-1].endswith(LAST_CHUNK):
                parts.append(self._receive())
                if len(parts[-1]) < len(LAST_CHUNK):  # LAST_CHUNK may be split over two reads
                    parts[-2:] = [parts[-2] + parts[-1]]
            took_ms = (time.perf_counter() - began_at) * 1e3
            return Reply(head, unchunked(b"".join(parts)), took_ms)
        left = content_length(head) - len(parts[0])
        while left > 0:
            parts.append(self._receive())
            left -= len(parts[-1])
        return Reply(head, b"".join(parts), (time.perf_counter() - began_at) * 1e3)

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _receive(self) -> bytes:
        received = self._socket.recv(1 << 18)
        if not received:
            raise ConnectionError("the server closed the connection")
        return received


LAST_CHUNK = b"\r\n0\r\n\r\n"


def is_chunked(head: bytes) -> bool:
    """Whether the body is chunked, by its headers. JSON never contains LAST_CHUNK."""
    return b"transfer-encoding: chunked" in head.lower()


def unchunked(received: bytes) -> bytes:
    """Return the content of a chunked body."""
    parts: list[bytes] = []
    place = 0
    while True:
        end = received.index(b"\r\n", place)
        size = int(received[place:end], 16)
        if not size:
            return b"".join(parts)
        parts.append(received[end + 2 : end + 2 + size])
        place = end + 2 + size + 2


def content_length(head: bytes) -> int:
    """Return the length of the body, by its headers."""
    lowered = head.lower()
    start = lowered.index(b"content-length:") + len(b"content-length:")
    return int(lowered[start : lowered.index(b"\r\n", start)])
