"""The access log, one line for each request, written in batches; and the ids of requests."""

import asyncio
import atexit
import itertools
import logging
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import structlog
from msgspec import Struct

from orchboard.answers.answer import header_lines

# Lines are written after this time, or when this many characters wait. Writing each line costs more than making it.
_FLUSH_S = 0.1
_FLUSH_CHARACTERS = 64 * 1024


class RequestIds:
    """Unique ids of requests, of 16 hexadecimal digits: ten are random for each process, six are a number that counts.

    first_lines -- the first headers of an answer without ASGI: those of uvicorn, and X-Request-Id up to the number
    """

    def __init__(self) -> None:
        self._start = os.urandom(5).hex()
        self._numbers = itertools.count()
        self._server_headers: Sequence[tuple[bytes, bytes]] = ()
        self.first_lines = b""

    def begin_answer(self, server_headers: Sequence[tuple[bytes, bytes]]) -> int:
        """Update `first_lines`, and return the number of the next id, less than 2**24.

        server_headers -- what uvicorn adds to each answer: another list each second, as the date is one of them
        """
        if server_headers is not self._server_headers:
            self._server_headers = server_headers
            self.first_lines = header_lines(tuple(server_headers)) + b"x-request-id: " + self._start.encode()
        return next(self._numbers) & 0xFFFFFF

    def text(self, number: int) -> str:
        """The id with this number."""
        return f"{self._start}{number:06x}"

    def next(self) -> str:
        """The next id."""
        return self.text(next(self._numbers) & 0xFFFFFF)


class Outcome(Struct, frozen=True):
    """The fields of log lines that equal requests share.

    route -- the path as in ROUTES; `-` without a route
    path -- as requested; logged where it differs from route
    size -- of the answer's body, in bytes
    start -- the beginning of the lines, with these fields as JSON
    """

    method: str
    route: str
    path: str
    status: int
    size: int
    start: str

    @classmethod
    def of(cls, method: str, route: str, path: str, status: int, size: int) -> "Outcome":
        """The fields, and the start of the lines made of them."""
        asked = {"path": path} if path != route else {}
        fields = {"method": method, "route": route, **asked, "status": status, "bytes": size}
        text = msgspec.json.encode(fields).decode("utf-8")
        return cls(method, route, path, status, size, text[:-1])


class AccessLog:
    """Writes lines to standard error, as structlog does, at a tenth of the cost; on a terminal through structlog.

    is_on -- whether the log level includes them; if not, nothing is formatted
    """

    def __init__(self) -> None:
        self._log = structlog.get_logger("orchboard.access")
        self.is_on: bool = self._log.is_enabled_for(logging.INFO)
        self._is_terminal = self.is_on and sys.stderr.isatty()
        self._is_buffered = False
        self._lines: list[str] = []
        self._characters = 0
        self._timer: asyncio.TimerHandle | None = None
        self._second = -1
        self._second_text = ""

    def start_buffering(self) -> None:
        """Write lines in batches from now on. The caller must call `close`; at exit they are written, too."""
        if self.is_on and not self._is_terminal:
            self._is_buffered = True
            atexit.register(self.flush)

    def close(self) -> None:
        """Write the waiting lines, and each further line at once."""
        self.flush()
        self._is_buffered = False
        atexit.unregister(self.flush)

    def write(
        self, outcome: Outcome, request_id: str, ms: float, refused: str = "", client: str = ""
    ) -> None:
        """Log one request. Does nothing when the log level is above info."""
        if not self.is_on:
            return
        if self._is_terminal:
            self._write_for_people(outcome, request_id, ms, refused, client)
            return
        why = f',"refused":{msgspec.json.encode(refused).decode()}' if refused else ""
        if client:
            why += f',"client":{msgspec.json.encode(client).decode()}'
        line = (
            f'{outcome.start},"ms":{ms:.2f},"request_id":"{request_id}"{why},"event":"request",'
            f'"level":"info","timestamp":"{self._now()}"}}\n'
        )
        self._lines.append(line)
        self._characters += len(line)
        if not self._is_buffered or self._characters > _FLUSH_CHARACTERS:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write the waiting lines."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines, self._characters = self._lines, [], 0
        if lines:
            with suppress(OSError, ValueError):  # a full disk or a closed file stops no request
                sys.stderr.write("".join(lines))
                sys.stderr.flush()

    def _write_for_people(
        self, outcome: Outcome, request_id: str, ms: float, refused: str, client: str
    ) -> None:
        fields = {name: value for name, value in (("refused", refused), ("client", client)) if value}
        asked = {"path": outcome.path} if outcome.path != outcome.route else {}
        self._log.info(
            "request",
            method=outcome.method,
            route=outcome.route,
            **asked,
            status=outcome.status,
            ms=round(ms, 2),
            bytes=outcome.size,
            request_id=request_id,
            **fields,
        )

    def _now(self) -> str:
        """The current time in ISO 8601. The text of a second is made once."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).isoformat()[:-6]
        return f"{self._second_text}.{int((now - second) * 1e6):06d}Z"
