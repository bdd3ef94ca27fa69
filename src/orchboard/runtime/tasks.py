"""Helpers for asyncio tasks, and a timeout that does not fire for an answer that arrived while the event loop stood still."""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from orchboard import limits


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their end; cancel again whatever takes longer than half a second. Ignores their results."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        ended, left = await asyncio.wait(left, timeout=limits.TASK_CANCEL_S)
        for task in ended:
            consume_exception(task)


def consume_exception(ended: asyncio.Future[Any]) -> None:
    """Mark an exception as retrieved, so that asyncio does not log it when no caller waits any more."""
    if not ended.cancelled():
        ended.exception()


class time_limit:  # noqa: N801 - read as `async with time_limit(...)`, like asyncio.timeout_at
    """`asyncio.timeout_at`, with LOOP_GRACE_S more if the event loop stood still when the time was over.

    due_at -- seconds by the loop's clock

    Raises TimeoutError. `reschedule(0)` of the value ends the time at once. A class, because a generator takes 2 us more, and
    the writer needs one for each batch.

    >>> async def work():
    ...     async with time_limit(asyncio.get_running_loop().time() + 0.01):
    ...         await asyncio.sleep(5)
    >>> asyncio.run(work())
    Traceback (most recent call last):
    TimeoutError
    """

    def __init__(self, due_at: float) -> None:
        self._due_at = due_at
        self._limit = asyncio.Timeout(None)

    async def __aenter__(self) -> asyncio.Timeout:
        self._timer = asyncio.get_running_loop().call_at(self._due_at, self._expire, True)
        return await self._limit.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._limit.__aexit__(kind, error, traceback)

    def _expire(self, may_wait: bool) -> None:
        loop = asyncio.get_running_loop()
        if may_wait and loop.time() - self._due_at > limits.LOOP_LATE_S:
            self._timer = loop.call_later(limits.LOOP_GRACE_S, self._expire, False)
        elif not self._limit.expired():
            self._limit.reschedule(0)
