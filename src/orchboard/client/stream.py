"""A live stream as it arrives: cut into events, and resumed after the last one when the connection breaks. No input or output."""

import random
from collections.abc import Callable, Mapping
from typing import TypedDict

import msgspec
from msgspec import Struct

from orchboard.client.attempts import FIRST_PAUSE_S, LONGEST_PAUSE_S
from orchboard.client.exchange import Pause, Response, Steps
from orchboard.client.requester import Requester, target_of
from orchboard.reports.stream import StreamEvent
from orchboard.stats import JobType

IDLE_S = 45.0
"""A stream that is silent for longer is dead: the server sends something every 15 s."""


class StreamScope(TypedDict, total=False):
    """Which events are sent. None, or left out: all.

    events -- `result`, `rank`, or both with a comma between them
    job_type -- `transcoding` or `ai`
    orchestrator -- Ethereum address
    region -- region code; pipeline, model -- AI names as posted; tester -- name of a tester: of results
    last_event_id -- resume after this event: the attribute `id` of a SentEvent
    limit -- end after this many events
    timeout -- seconds for each connection with its retries, until the stream begins
    on_open -- called each time it has begun
    """

    events: str | None
    job_type: JobType | str | None
    orchestrator: str | None
    region: str | None
    pipeline: str | None
    model: str | None
    tester: str | None
    last_event_id: str | None
    limit: int | None
    timeout: float | None
    on_open: Callable[[], None]


class SentEvent(Struct, frozen=True):
    """An event as it was sent.

    name -- `result` or `rank`, or one that a newer server has added
    data -- JSON
    id -- of the last event that has one, to resume after; empty before the first
    """

    name: str
    data: bytes
    id: str


class EventStream:
    """One stream: requests, each of which resumes after the last event."""

    def __init__(self, requester: Requester, scope: StreamScope) -> None:
        self._requester = requester
        self._params = {
            name: _text(value) for name, value in scope.items() if name not in ("timeout", "on_open")
        }
        self._on_open = scope.get("on_open")
        self._timeout = scope.get("timeout")
        self._left = scope.get("limit")
        self._last_id = self._params.get("last_event_id") or ""
        self._rest = b""
        self._fruitless = -1

    @property
    def is_complete(self) -> bool:
        """Whether `limit` events have arrived."""
        return self._left == 0

    def steps(self) -> Steps[Response]:
        """The next request, up to the head of its answer; after a pause, but for the first."""
        if self._fruitless >= 0:
            pause_s = min(FIRST_PAUSE_S * 2 ** min(self._fruitless, 10), LONGEST_PAUSE_S)
            yield Pause(pause_s * random.uniform(0.5, 1))  # noqa: S311 - spreads clients, no secret
        self._fruitless += 1
        self._rest = b""
        params: Mapping[str, str | None] = {
            **self._params,
            "last_event_id": self._last_id,
            "limit": _text(self._left),
        }
        call = self._requester.stream_call(target_of("/api/stream", params), self._timeout)
        response = yield from call.steps()
        if self._on_open is not None:
            self._on_open()
        return response

    def take(self, piece: bytes) -> list[SentEvent]:
        """The events that are complete now."""
        *blocks, self._rest = (self._rest + piece).split(b"\n\n")
        return [event for block in blocks if (event := self._read(block)) is not None]

    def _read(self, block: bytes) -> SentEvent | None:
        """The event of a block of lines; None for a comment, or for lines without data."""
        fields = {}
        for line in block.split(b"\n"):
            name, _, value = line.partition(b":")
            fields[name] = value.removeprefix(b" ")
        if b"id" in fields:
            self._last_id = fields[b"id"].decode()
        if b"data" not in fields or self.is_complete:
            return None
        self._fruitless = 0
        if self._left is not None:
            self._left -= 1
        return SentEvent(fields.get(b"event", b"").decode(), fields[b"data"], self._last_id)


def decode_event(event: SentEvent) -> StreamEvent | None:
    """The event as a struct; None if this version of the client does not know its kind."""
    try:
        return _decode(event.data)
    except ValueError:
        return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


_decode: Callable[[bytes], StreamEvent] = msgspec.json.Decoder(StreamEvent).decode
