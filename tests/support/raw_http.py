"""Raw HTTP on a socket."""

import json
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from orchboard.signing import sign
from tests.support.server import SECRET

ZEROS = "/api/aggregated_stats"
"""A query with an immediate answer."""


def get(target: str = ZEROS, *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request without a body. lines -- raw headers"""
    return "\r\n".join([f"{method} {target} HTTP/{version}", "Host: x", *lines, "", ""]).encode("latin-1")


def head(*lines: str, version: str = "1.1") -> bytes:
    """The head of a post."""
    return get("/api/post_stats", *lines, method="POST", version=version)


def post(stats: dict[str, object], *lines: str, secret: str = SECRET, version: str = "1.1") -> bytes:
    """A signed post with Content-Length."""
    body = json.dumps(stats).encode()
    told = f"Content-Length: {len(body)}"
    return head(f"Authorization: {sign(body, secret)}", told, *lines, version=version) + body


def chunked(stats: dict[str, object], size: int, *lines: str, trailer: str = "") -> bytes:
    """A signed post in chunks of `size` bytes."""
    body = json.dumps(stats).encode()
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    told = head(f"Authorization: {sign(body, SECRET)}", "Transfer-Encoding: chunked", *lines)
    return told + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n%b\r\n" % trailer.encode()


def joined(chunks: bytes) -> bytes:
    """Decode a chunked body."""
    body = bytearray()
    while chunks:
        size, _, chunks = chunks.partition(b"\r\n")
        body += chunks[: int(size, 16)]
        chunks = chunks[int(size, 16) + 2 :]
    return bytes(body)


class Reply(Struct, frozen=True):
    """A response. Names of headers are in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str:
        (value,) = [value for known, value in self.headers if known == name]
        return value

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.headers]

    @property
    def used_fast_path(self) -> bool:
        """Which way it took: the application puts the request's id behind its headers, the fast path before."""
        return self.names.index("x-request-id") <= 1 < len(self.names) - 1

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """A connection. source -- local address, in 127.0.0.0/8"""

    def __init__(self, port: int, *, receive_buffer: int = 0, source: str = "") -> None:
        self.socket = socket.socket()
        if source:
            self.socket.bind((source, 0))
        self.socket.settimeout(20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Send each part in a separate segment, as far as the kernel allows."""
        for part in parts:
            self.socket.sendall(part)

    def close_our_side(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def vanish(self) -> None:
        """Reset the connection."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def reply(self, *, to: str = "GET") -> Reply:
        """The next response. to -- method of the request"""
        while b"\r\n\r\n" not in self._received:
            self._receive()
        text, _, self._received = self._received.partition(b"\r\n\r\n")
        status, *lines = text.decode("latin-1").split("\r\n")
        headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
        code = int(status.split(" ")[1])
        bodiless = to == "HEAD" or code in (100, 204, 304)
        if not bodiless and dict(headers).get("transfer-encoding") == "chunked":
            return Reply(code, headers, self._chunks())
        length = 0 if bodiless else int(dict(headers)["content-length"])
        while len(self._received) < length:
            self._receive()
        body, self._received = self._received[:length], self._received[length:]
        return Reply(code, headers, body)

    def replies(self, methods: Iterable[str]) -> list[Reply]:
        return [self.reply(to=method) for method in methods]

    def ask(self, *parts: bytes, to: str = "GET") -> Reply:
        self.send(*parts)
        return self.reply(to=to)

    def rest(self) -> bytes:
        """All data until the end or a reset of the connection."""
        chunks, self._received = [self._received], b""
        with suppress(ConnectionResetError):
            while chunk := self.socket.recv(65536):
                chunks.append(chunk)
        return b"".join(chunks)

    def is_silent(self, seconds: float) -> bool:
        """Whether neither data nor the end of the connection arrives in `seconds`."""
        self.socket.settimeout(seconds)
        try:
            self._received += self.socket.recv(65536)
        except TimeoutError:
            return not self._received
        finally:
            self.socket.settimeout(20)
        return False

    def _chunks(self) -> bytes:
        """Read a chunked body."""
        body = bytearray()
        while True:
            while b"\r\n" not in self._received:
                self._receive()
            size, _, rest = self._received.partition(b"\r\n")
            while len(rest) < int(size, 16) + 2:
                chunk = self.socket.recv(65536)
                assert chunk, "closed in the middle of a chunk"
                rest += chunk
            body += rest[: int(size, 16)]
            self._received = rest[int(size, 16) + 2 :]
            if not int(size, 16):
                return bytes(body)

    def _receive(self) -> None:
        chunk = self.socket.recv(65536)
        assert chunk, f"closed after {self._received!r}"
        self._received += chunk
