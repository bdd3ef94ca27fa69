"""Detects committed writes to the database by any program on any host."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from orchboard import limits
from orchboard.errors import Refusal


class ExternalWriteDetector:
    """Compares the database's current snapshot with the previous one; one check serves the whole process.

    on_change -- called when the snapshot differs: everything that was read before may be stale
    version -- increases with each detected change
    valid_until -- end of the last check's validity, in time.monotonic seconds
    due_at -- time from which a request starts the next check, in time.monotonic seconds
    """

    def __init__(
        self, fetch_snapshot: Callable[[], Awaitable[str]], on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._fetch_snapshot = fetch_snapshot
        self._on_change = on_change
        self._snapshot = ""
        self._checking: asyncio.Task[None] | None = None
        self.version = 0
        self.valid_until = -math.inf
        self.due_at = -math.inf

    @property
    def checked_at(self) -> float:
        """When the last check that succeeded began, in time.monotonic seconds; -inf before the first."""
        return self.valid_until - limits.EXTERNAL_STALENESS_S

    def begin_check(self) -> "asyncio.Task[None]":
        """Start a check unless one is running."""
        if self._checking is None or self._checking.done():
            self.due_at = time.monotonic() + limits.EXTERNAL_CHECK_INTERVAL_S
            self._checking = asyncio.create_task(self._check())
        return self._checking

    async def check(self) -> None:
        """Wait for a check, with a timeout. Changes nothing if the database is unavailable."""
        await asyncio.wait([self.begin_check()], timeout=limits.EXTERNAL_CHECK_S)

    async def _check(self) -> None:
        began_at = time.monotonic()
        try:
            snapshot = await self._fetch_snapshot()
        except Refusal:
            return
        if snapshot != self._snapshot:
            self._snapshot = snapshot
            self.version += 1
            self._on_change()
        self.valid_until = began_at + limits.EXTERNAL_STALENESS_S
