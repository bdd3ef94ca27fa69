"""CircuitBreaker: whether the database is there, probed in the background so that no request waits for an absent one."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from orchboard.runtime.tasks import cancel_and_wait
from orchboard.runtime.time_limit import TimeLimit

log = structlog.get_logger(__name__)

# Interval between probes while the database is away, and the time limit of a probe. A request that has waited for
# _PROBE_AFTER_S starts one.
_PROBE_EVERY_S, _PROBE_S = 0.5, 2.0
_PROBE_AFTER_S = 2.0

# The time limit is counted in ticks of the event loop: one that stood still for ten seconds has had one tick.
_TICK_S = 0.05

# A probe that failed longer ago than it takes to repeat it is no evidence: the process was frozen meanwhile.
_EVIDENCE_S = 5.0


class CircuitBreaker:
    """A circuit breaker for the database.

    It opens only on evidence. A probe that is refused is evidence. A probe that gets no answer is evidence only if the
    event loop ran all the time, and if no other statement was answered since the probe began: otherwise the process,
    the machine, name resolution or the server's processor was slow.

    is_there -- connects and asks something; false when that fails, cancelled when it takes too long
    hosts -- how many hosts a probe may have to try
    is_away -- requests must not be tried
    """

    def __init__(self, is_there: Callable[[], Awaitable[bool]], *, hosts: int = 1) -> None:
        self._is_there = is_there
        self._probe_s = _PROBE_S * hosts
        self._probing: asyncio.Task[None] | None = None
        self._waiting: dict[TimeLimit, float] = {}  # since when, by the loop's clock
        self._free: list[TimeLimit] = []
        self._timer: asyncio.TimerHandle | None = None
        self._answers = 0
        self._is_away = False
        self._probed_at = -math.inf

    @property
    def is_away(self) -> bool:
        """Whether the last probe failed, a moment ago."""
        return self._is_away and time.monotonic() - self._probed_at < self._probe_s + _EVIDENCE_S

    def note_answer(self) -> None:
        """Take an answered statement as evidence that the database is there, whatever the answer is."""
        self._answers += 1

    @contextmanager
    def limit(self, timeout_s: float) -> Iterator[None]:
        """The time limit of a request, cut short once the database is away. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        limit, now = self._free.pop() if self._free else TimeLimit(), loop.time()
        self._waiting[limit] = now
        if self._timer is None:
            self._timer = loop.call_later(_PROBE_AFTER_S, self._probe_if_one_waits_long)
        try:
            with limit.until(now + timeout_s):
                yield
        finally:
            del self._waiting[limit]
            self._free.append(limit)

    def _probe_if_one_waits_long(self) -> None:
        self._timer = None
        if self._waiting:
            loop = asyncio.get_running_loop()
            due_at = min(self._waiting.values()) + _PROBE_AFTER_S
            if due_at <= loop.time():
                self.probe()
                due_at = loop.time() + _PROBE_AFTER_S
            self._timer = loop.call_at(due_at, self._probe_if_one_waits_long)

    def probe(self) -> None:
        """Probe in the background whether the database is away and, if it is, when it is back.

        Requests that wait for a database that is away get no more time.
        """
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe_until_there())

    async def close(self) -> None:
        """Stop probing."""
        if self._timer is not None:
            self._timer.cancel()
        if self._probing is not None:
            await cancel_and_wait([self._probing])

    async def _probe_until_there(self) -> None:
        while not await self._probe():
            self._probed_at = time.monotonic()
            if not self._is_away:
                log.warning("the database is away")
                self._is_away = True
                for limit in self._waiting:
                    limit.cut()
            await asyncio.sleep(_PROBE_EVERY_S)
        self._is_away = False

    async def _probe(self) -> bool:
        """Whether the database is there, or may be."""
        answers = self._answers
        probe = asyncio.ensure_future(self._is_there())
        ticks = asyncio.create_task(_count_ticks(self._probe_s))
        try:
            await asyncio.wait((probe, ticks), return_when=asyncio.FIRST_COMPLETED)
            return (probe.done() and probe.result()) or self._answers != answers
        finally:
            await cancel_and_wait((probe, ticks))


async def _count_ticks(seconds: float) -> None:
    for _ in range(math.ceil(seconds / _TICK_S)):
        await asyncio.sleep(_TICK_S)
