"""A time limit for one thing after another, by one timer."""

import asyncio
import math
from types import TracebackType
from typing import Self

# A timer that rings this much too late shows that the event loop stood still (SIGSTOP, a paused machine, no processor
# time). What came meanwhile is still unread: its reader gets some time more, once.
LATE_S = 0.1
GRACE_S = 0.5


class TimeLimit:
    """What `asyncio.timeout_at` does, again and again, one at a time: TimeoutError when something takes too long.

    That one sets a timer and ends it each time: 4.5 us. This one's goes on until it rings, and is then set to what is
    due by now: 0.8 us. When the event loop stood still at the end of the time, there are GRACE_S more.

    >>> limit = TimeLimit()
    >>> async def work():
    ...     with limit.until(asyncio.get_running_loop().time() + 0.01):
    ...         await asyncio.sleep(5)
    >>> asyncio.run(work())
    Traceback (most recent call last):
    TimeoutError
    """

    def __init__(self) -> None:
        self._due_at = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelled_before = 0
        self._is_over = False
        self._was_late = False

    def until(self, due_at: float) -> Self:
        """Of what is entered next. due_at -- by the loop's clock, in seconds."""
        self._due_at = due_at
        return self

    def cut(self) -> None:
        """Have the time be over now."""
        self._due_at = -math.inf
        self._ring()

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None or self._task is not None:
            raise RuntimeError("a time limit is of one task, one thing at a time")
        self._task, self._cancelled_before = task, task.cancelling()
        self._was_late = False
        if self._timer is None or self._timer.when() > self._due_at:
            self._set_timer()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._is_over and task is not None:
            self._is_over = False
            if task.uncancel() <= self._cancelled_before and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(self._due_at, self._ring)

    def _ring(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is None:
            return  # set again by what comes next
        late_s = asyncio.get_running_loop().time() - self._due_at
        if late_s < 0:
            self._set_timer()
        elif LATE_S < late_s < math.inf and not self._was_late:
            self._was_late = True
            self._due_at += late_s + GRACE_S
            self._set_timer()
        elif not self._is_over:
            self._is_over = True
            self._task.cancel()
