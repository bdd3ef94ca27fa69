"""A client with one connection that is kept: as little of its own time in a latency as Python allows."""

import socket
import time
from types import TracebackType
from typing import Self

from msgspec import Struct

_TIMEOUT_S = 60.0


class Reply(Struct, frozen=True):
    """An answer: its status line and headers as they came, its body, and how long it took."""

    head: bytes
    body: bytes
    ms: float

    @property
    def status(self) -> int:
        """The status number."""
        return int(self.head[9:12])

    def headers(self) -> list[tuple[str, str]]:
        """Its headers, as written."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [(name, value) for name, _, value in (line.partition(": ") for line in lines if line)]


class Connection:
    """One kept connection to a server on this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        self._socket.close()

    def get(self, path: str) -> Reply:
        """The answer to a GET. Raises RuntimeError when it is not 200.

        A server may close a connection that was idle for long; then there is another, as of every client.
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
        """The answer to a request as it goes over the wire."""
        began_at = time.perf_counter()
        self._socket.sendall(request)
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive()
        head, parts = received[: end + 2], [received[end + 4 :]]
        if is_chunked(head):
            while not parts[-1].endswith(LAST_CHUNK):
                parts.append(self._receive())
                if len(parts[-1]) < len(LAST_CHUNK):  # it may have been torn apart
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
    """Whether the body comes in chunks, by its head; JSON has the end of the last one nowhere in it."""
    return b"transfer-encoding: chunked" in head.lower()


def unchunked(received: bytes) -> bytes:
    """What chunks hold."""
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
    """How long the body is, by its head."""
    lowered = head.lower()
    start = lowered.index(b"content-length:") + len(b"content-length:")
    return int(lowered[start : lowered.index(b"\r\n", start)])
