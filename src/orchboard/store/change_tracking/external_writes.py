"""Whether anybody has written to the database, whatever program and host it was."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from orchboard.errors import Refusal

# An answer may be a second older than the newest commit elsewhere; the rest is for the way to the reader.
SIGHT_S = 0.9

# A look that is due is taken beside the requests, so that a busy server's never wait for one.
_DUE_S = 0.5

# Longer than this nobody waits for a look: computing the answer is the surer thing.
_PATIENCE_S = 0.5


class Lookout:
    """Looks at the database's snapshot, once for a whole process, when someone needs to know.

    note_change -- called when the snapshot is another than at the last look: what was read before may be old
    epoch -- grows then
    seen_until -- until when the last look holds, on time.monotonic's clock
    due_at -- when the next should begin, if somebody is asking
    """

    def __init__(
        self, fetch_snapshot: Callable[[], Awaitable[str]], note_change: Callable[[], None] = lambda: None
    ) -> None:
        self._fetch_snapshot = fetch_snapshot
        self._note_change = note_change
        self._snapshot = ""
        self._looking: asyncio.Task[None] | None = None
        self.epoch = 0
        self.seen_until = -math.inf
        self.due_at = -math.inf

    def begin(self) -> "asyncio.Task[None]":
        """Begin a look, unless one is under way."""
        if self._looking is None or self._looking.done():
            self.due_at = time.monotonic() + _DUE_S
            self._looking = asyncio.create_task(self._look())
        return self._looking

    async def look(self) -> None:
        """Wait for a look, as long as that is worth it. A database that is away leaves everything as it was."""
        await asyncio.wait([self.begin()], timeout=_PATIENCE_S)

    async def _look(self) -> None:
        began_at = time.monotonic()
        try:
            snapshot = await self._fetch_snapshot()
        except Refusal:
            return
        if snapshot != self._snapshot:
            self._snapshot = snapshot
            self.epoch += 1
            self._note_change()
        self.seen_until = began_at + SIGHT_S
