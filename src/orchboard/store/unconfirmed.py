"""Answers made while it is still being asked whether what they are made of is current: the two take as long as the longer."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TypeVar

from orchboard.tasks import be_seen

T = TypeVar("T")

_asked: ContextVar["list[asyncio.Future[bool]] | None"] = ContextVar("_asked", default=None)


async def confirmed(make: Callable[[], Awaitable[T]]) -> T:
    """What `make` makes of what was current when this was called; made again when it turns out that it was not.

    Raises what `make` and the checks raise.
    """
    asked: list[asyncio.Future[bool]] = []
    outer = _asked.set(asked)
    try:
        made = await make()
        if all([await check for check in asked]):
            return made
    finally:
        _asked.reset(outer)
    return await make()


async def is_left(check: Callable[[], Awaitable[bool]]) -> bool:
    """Whether a check was begun that `confirmed` waits for; where nobody does, nothing was.

    check -- whether what is there is current
    """
    asked = _asked.get()
    if asked is None:
        return False
    checking = asyncio.ensure_future(check())
    checking.add_done_callback(be_seen)  # whoever makes something may fail before he looks at it
    asked.append(checking)
    await asyncio.sleep(0)  # it begins,
    await asyncio.sleep(0)  # and what it asks is sent
    return True
