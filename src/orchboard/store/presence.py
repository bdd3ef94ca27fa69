"""Whether the database is there: looked for beside the requests, and nobody waits for one that is away."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from orchboard.tasks import end
from orchboard.time_limit import TimeLimit

log = structlog.get_logger(__name__)

# How often, and how long each time, it is tried whether a database that was away is back. And how long a request may
# wait before it is tried whether there is anybody to answer it.
_LOOK_EVERY_S, _LOOK_S = 0.5, 2.0
_LOOK_AFTER_S = 2.0


class Presence:
    """Whether a database is there, as far as that was looked at.

    is_there -- connects and asks something; false when that fails, cancelled when it takes too long
    is_away -- requests should not be tried
    """

    def __init__(self, is_there: Callable[[], Awaitable[bool]]) -> None:
        self._is_there = is_there
        self._looking: asyncio.Task[None] | None = None
        self._waiting: dict[TimeLimit, float] = {}  # since when, by the loop's clock
        self._free: list[TimeLimit] = []
        self._timer: asyncio.TimerHandle | None = None
        self.is_away = False

    @contextmanager
    def limit(self, timeout_s: float) -> Iterator[None]:
        """The time a request has: less of it, once the database is seen to be away. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        limit, now = self._free.pop() if self._free else TimeLimit(), loop.time()
        self._waiting[limit] = now
        if self._timer is None:
            self._timer = loop.call_later(_LOOK_AFTER_S, self._look_if_one_waits_long)
        try:
            with limit.until(now + timeout_s):
                yield
        finally:
            del self._waiting[limit]
            self._free.append(limit)

    def _look_if_one_waits_long(self) -> None:
        self._timer = None
        if self._waiting:
            loop = asyncio.get_running_loop()
            due_at = min(self._waiting.values()) + _LOOK_AFTER_S
            if due_at <= loop.time():
                self.look()
                due_at = loop.time() + _LOOK_AFTER_S
            self._timer = loop.call_at(due_at, self._look_if_one_waits_long)

    def look(self) -> None:
        """Find out, in the background, whether the database is away, and if so, when it is back.

        Those that are waiting for it then have no more time.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_until_back())

    async def close(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            await end([self._looking])

    async def _look_until_back(self) -> None:
        while not await self._look():
            if not self.is_away:
                log.warning("the database is away")
                self.is_away = True
                for limit in self._waiting:
                    limit.cut()
            await asyncio.sleep(_LOOK_EVERY_S)
        self.is_away = False

    async def _look(self) -> bool:
        try:
            async with asyncio.timeout(_LOOK_S):
                return await self._is_there()
        except TimeoutError:
            return False
