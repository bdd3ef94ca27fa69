"""The access log: one line a request, written in batches."""

import asyncio
import atexit
import itertools
import logging
import os
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import structlog
from msgspec import Struct

# A line may wait so long, or until so many characters wait: a write each would cost more than the line.
_FLUSH_S = 0.1
_FLUSH_CHARACTERS = 64 * 1024


class RequestIds:
    """Ids that no other request of any server has: 16 hex digits.

    start -- the first ten of each; the other six are a number's
    """

    def __init__(self) -> None:
        self.start = os.urandom(5).hex()
        self._numbers = itertools.count()

    def next_number(self) -> int:
        """What the next one ends in: less than 2**24."""
        return next(self._numbers) & 0xFFFFFF

    def text(self, number: int) -> str:
        """The id that ends in a number."""
        return f"{self.start}{number:06x}"

    def next(self) -> str:
        """The next one."""
        return self.text(self.next_number())


class Outcome(Struct, frozen=True):
    """What is the same for all requests that are answered alike; `start` is how their lines begin.

    route -- the path as in ROUTES, `-` when there is none; path -- as asked, logged where it differs; size -- of the
    body, in bytes
    """

    method: str
    route: str
    path: str
    status: int
    size: int
    start: str

    @classmethod
    def of(cls, method: str, route: str, path: str, status: int, size: int) -> "Outcome":
        """The outcome with its line begun."""
        asked = {"path": path} if path != route else {}
        fields = {"method": method, "route": route, **asked, "status": status, "bytes": size}
        text = msgspec.json.encode(fields).decode("utf-8")
        return cls(method, route, path, status, size, text[:-1])


class AccessLog:
    """Lines on standard error, like structlog's, at a tenth of the cost; words when a person watches.

    is_on -- whether the level lets them through; without it nothing is formatted
    """

    def __init__(self) -> None:
        self._log = structlog.get_logger("orchboard.access")
        self.is_on: bool = self._log.is_enabled_for(logging.INFO)
        self._for_people = self.is_on and sys.stderr.isatty()
        self._is_buffered = False
        self._lines: list[str] = []
        self._characters = 0
        self._timer: asyncio.TimerHandle | None = None
        self._second = -1
        self._second_text = ""

    def start_buffering(self) -> None:
        """Hold lines back for a moment; whoever says so calls `close`. They are written at the exit, too."""
        if self.is_on and not self._for_people:
            self._is_buffered = True
            atexit.register(self.flush)

    def close(self) -> None:
        """Write what is held back."""
        self.flush()
        self._is_buffered = False
        atexit.unregister(self.flush)

    def write(
        self, outcome: Outcome, request_id: str, ms: float, refused: str = "", client: str = ""
    ) -> None:
        """One line. Does nothing when the level is above info."""
        if not self.is_on:
            return
        if self._for_people:
            self._tell(outcome, request_id, ms, refused, client)
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
        """Write what is held back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines, self._characters = self._lines, [], 0
        if lines:
            with suppress(OSError, ValueError):  # a full disk or a closed file stops no request
                sys.stderr.write("".join(lines))
                sys.stderr.flush()

    def _tell(self, outcome: Outcome, request_id: str, ms: float, refused: str, client: str) -> None:
        told = {"refused": refused, "client": client}
        fields = {name: value for name, value in told.items() if value}
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
        """This moment in ISO 8601; the second's text is made once a second."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).isoformat()[:-6]
        return f"{self._second_text}.{int((now - second) * 1e6):06d}Z"
