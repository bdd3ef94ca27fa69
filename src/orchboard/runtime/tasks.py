"""Tasks: how ours are ended."""

import asyncio
from collections.abc import Iterable
from typing import Any

# So long a task that was told to end may take to clear up. A database that says nothing would have it wait for the
# end of its transaction.
_CLEARING_UP_S = 0.5


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended, each time it takes them over half a second; what became of them is not told."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        ended, left = await asyncio.wait(left, timeout=_CLEARING_UP_S)
        for task in ended:
            consume_exception(task)


def consume_exception(ended: asyncio.Future[Any]) -> None:
    """Take note of a failure that all who waited for it may have left behind, or asyncio logs it."""
    if not ended.cancelled():
        ended.exception()
