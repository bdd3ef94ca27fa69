"""Helpers for asyncio tasks."""

import asyncio
from collections.abc import Iterable
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
