"""A listener of /api/stream on a socket."""

import json
import time
from typing import Any, Self
from urllib.parse import urlencode

from msgspec import Struct

from tests.support.raw_http import Wire, get


class Event(Struct, frozen=True):
    """One event, and the last event id that a browser has after it."""

    name: str
    data: Any
    last_id: str


class StreamListener(Wire):
    """Reads events one by one."""

    def __init__(self, port: int, *, last_id: str = "", receive_buffer: int = 0, **params: Any) -> None:
        super().__init__(port, receive_buffer=receive_buffer)
        lines = [f"Last-Event-ID: {last_id}"] if last_id else []
        self.send(get("/api/stream" + ("?" + urlencode(params) if params else ""), *lines))
        self.last_id = last_id
        self._buffer = b""
        self._text = b""
        self.is_ended = False
        while b"\r\n\r\n" not in self._buffer:
            self._receive()
        self.head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        self.status = int(self.head.split()[1])

    def __enter__(self) -> Self:
        return self

    def _receive(self) -> None:
        received = self.socket.recv(65536)
        if not received:
            raise EOFError
        self._buffer += received

    def _block(self) -> str:
        """The next block of lines. Raises EOFError at the end of the stream, TimeoutError."""
        while b"\n\n" not in self._text:
            while b"\r\n" not in self._buffer:
                self._receive()
            size, _, rest = self._buffer.partition(b"\r\n")
            length = int(size, 16)
            if not length:
                self.is_ended = True
                raise EOFError
            while len(rest) < length + 2:
                received = self.socket.recv(65536)
                if not received:
                    raise EOFError
                rest += received
            self._text += rest[:length]
            self._buffer = rest[length + 2 :]
        block, _, self._text = self._text.partition(b"\n\n")
        return block.decode()

    def next(self, *, within_s: float = 10) -> Event:
        """The next event. Raises TimeoutError, EOFError."""
        due_at = time.monotonic() + within_s
        while True:
            self.socket.settimeout(max(due_at - time.monotonic(), 0.001))
            lines = [line.partition(": ") for line in self._block().split("\n")]
            fields = {name: value for name, _, value in lines if name}
            self.last_id = fields.get("id", self.last_id)
            if "data" in fields:
                return Event(fields["event"], json.loads(fields["data"]), self.last_id)

    def results(self, number: int, *, within_s: float = 10) -> list[int]:
        """The ids of the next results."""
        return [self.next(within_s=within_s).data["id"] for _ in range(number)]

    def until_the_end(self, *, within_s: float = 10) -> list[Event]:
        """All events until the end."""
        events = []
        try:
            while True:
                events.append(self.next(within_s=within_s))
        except EOFError:
            return events
