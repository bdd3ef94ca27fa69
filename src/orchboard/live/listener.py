"""One listener of the live stream: the events that wait for it, within a limit."""

import asyncio
from collections import deque

from orchboard import limits
from orchboard.live.events import Chunk, Selection


class SlowListenerError(TimeoutError):
    """More waits for a listener than LISTENER_BYTES: it reads too slowly."""

    def __init__(self) -> None:
        super().__init__("the listener reads too slowly")


class Listener:
    """The queue of one listener.

    selection -- what it wants
    """

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self._chunks: deque[Chunk] = deque()
        self._bytes = 0
        self._is_ended = self._is_slow = False
        self._wakes = asyncio.Event()

    def push(self, chunk: Chunk) -> None:
        """Add events. More than LISTENER_BYTES drops them all and ends the stream."""
        if self._is_ended or self._is_slow:
            return
        if self._bytes and self._bytes + len(chunk.data) > limits.LISTENER_BYTES:
            self._is_slow = True
            self._chunks.clear()
        else:
            self._bytes += len(chunk.data)
            self._chunks.append(chunk)
        self._wakes.set()

    def end(self) -> None:
        """End the stream, at once."""
        self._is_ended = True
        self._wakes.set()

    @property
    def is_ended(self) -> bool:
        """Whether `end` was called."""
        return self._is_ended

    async def next_chunk(self) -> Chunk | None:
        """The next events; None at the end of the stream. Raises SlowListenerError."""
        while not self._is_ended:
            if self._is_slow:
                raise SlowListenerError
            if self._chunks:
                chunk = self._chunks.popleft()
                self._bytes -= len(chunk.data)
                return chunk
            self._wakes.clear()
            await self._wakes.wait()
        return None
