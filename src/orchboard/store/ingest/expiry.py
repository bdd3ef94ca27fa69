"""The timer of the queue's time limits."""

import asyncio
from collections.abc import Callable

from orchboard.runtime.time_limit import GRACE_S, LATE_S

# Minimum interval between scans for expired queue entries.
_MIN_INTERVAL_S = 0.05


class ExpiryTimer:
    """Calls `scan` when the next entry expires.

    A scan is postponed once by GRACE_S when the event loop was blocked: answers of the database may be unread.

    scan -- handles expired entries and returns the loop time at which the next one expires
    """

    def __init__(self, scan: Callable[[float], float]) -> None:
        self._scan = scan
        self._timer: asyncio.TimerHandle | None = None
        self._was_late = False

    def start(self, due_at: float) -> None:
        """Schedule the first scan, by the event loop's clock."""
        self._timer = asyncio.get_running_loop().call_at(due_at, self._run, due_at)

    def stop(self) -> None:
        """Cancel the next scan."""
        if self._timer is not None:
            self._timer.cancel()

    def _run(self, due_at: float) -> None:
        now = asyncio.get_running_loop().time()
        if now - due_at > LATE_S and not self._was_late:
            self._was_late = True
            self.start(now + GRACE_S)
        else:
            self._was_late = False
            self.start(max(self._scan(now), now + _MIN_INTERVAL_S))
