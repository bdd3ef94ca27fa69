"""A timeout that does not fire for an answer that arrived while the event loop stood still."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchboard import limits


@asynccontextmanager
async def time_limit(due_at: float) -> AsyncIterator[asyncio.Timeout]:
    """`asyncio.timeout_at`, with LOOP_GRACE_S more if the event loop stood still when the time was over.

    due_at -- seconds by the loop's clock

    Raises TimeoutError. `reschedule(0)` of the value ends the time at once.

    >>> async def work():
    ...     async with time_limit(asyncio.get_running_loop().time() + 0.01):
    ...         await asyncio.sleep(5)
    >>> asyncio.run(work())
    Traceback (most recent call last):
    TimeoutError
    """
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def expire(may_wait: bool) -> None:
        nonlocal timer
        if may_wait and loop.time() - due_at > limits.LOOP_LATE_S:
            timer = loop.call_later(limits.LOOP_GRACE_S, expire, False)
        elif not limit.expired():
            limit.reschedule(0)

    limit = asyncio.timeout(None)
    timer = loop.call_at(due_at, expire, True)
    try:
        async with limit:
            yield limit
    finally:
        timer.cancel()
