"""The circuit breaker: the one owner of the state "is the database available". Probes run in the background."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum, auto

import structlog

from orchboard import limits
from orchboard.runtime.tasks import cancel_and_wait, time_limit

log = structlog.get_logger(__name__)


# The time limit of a probe is counted in ticks of the event loop: a loop that was blocked for ten seconds has had one.
_TICK_S = 0.05


class State(Enum):
    """What happens to reads and to submitted results."""

    CLOSED = auto()
    OPEN = auto()
    SPOOLING = auto()
    HALF_OPEN = auto()


class Event(Enum):
    """What changes the state."""

    PROBE_FAILED = auto()
    PROBE_SUCCEEDED = auto()
    RESULT_SPILLED = auto()
    BATCH_REPLAYED = auto()


_TRANSITIONS = {
    (State.CLOSED, Event.PROBE_FAILED): State.OPEN,
    (State.CLOSED, Event.RESULT_SPILLED): State.HALF_OPEN,
    (State.OPEN, Event.PROBE_SUCCEEDED): State.CLOSED,
    (State.OPEN, Event.RESULT_SPILLED): State.SPOOLING,
    (State.SPOOLING, Event.PROBE_SUCCEEDED): State.HALF_OPEN,
    (State.SPOOLING, Event.BATCH_REPLAYED): State.OPEN,
    (State.HALF_OPEN, Event.PROBE_FAILED): State.SPOOLING,
    (State.HALF_OPEN, Event.BATCH_REPLAYED): State.CLOSED,
}
"""The next state; an event that is not listed for a state does not change it."""


class CircuitBreaker:
    """Decides whether requests are sent to the database.

    | State     | Reads        | Results           | PROBE_FAILED | PROBE_SUCCEEDED | RESULT_SPILLED | BATCH_REPLAYED |
    | --------- | ------------ | ----------------- | ------------ | --------------- | -------------- | -------------- |
    | CLOSED    | sent         | sent              | OPEN         |                 | HALF_OPEN      |                |
    | OPEN      | fail at once | the first spilled |              | CLOSED          | SPOOLING       |                |
    | SPOOLING  | fail at once | spooled           |              | HALF_OPEN       |                | OPEN           |
    | HALF_OPEN | sent         | spooled           | SPOOLING     |                 |                | CLOSED         |

    HALF_OPEN ends when the replay has stored a batch of spooled results. Without a spool no result is spilled: results
    are sent in CLOSED and in OPEN.

    Reads fail only on evidence. A refused probe is evidence. A probe without an answer is evidence only if the event loop
    ran all the time and no other statement was answered since the probe began: otherwise the process, the machine, name
    resolution or the server's processor was slow.

    probe -- connects and runs a query; false when that fails, cancelled when it takes too long
    hosts -- how many hosts a probe may have to try
    is_standby -- whether requests have the primary beside it: nothing is logged then
    clock -- monotonic, in seconds
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[bool]],
        *,
        hosts: int = 1,
        is_standby: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = State.CLOSED
        self.answers = 0
        """Answered statements, whatever the answer: evidence against an unanswered probe. Incremented by connections."""
        self.spooled = 0
        """Results on the disk since results were first spooled. Incremented by `spill`."""
        self._probe = probe
        self._is_standby = is_standby
        self._clock = clock
        self._probe_s = limits.PROBE_S * hosts
        self._probing: asyncio.Task[None] | None = None
        self._waiting: dict[asyncio.Timeout, float] = {}  # since when, by the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._failed_at = -math.inf
        self._spooling_since = -math.inf

    @property
    def is_open(self) -> bool:
        """Whether reads fail at once: OPEN or SPOOLING, and the last failed probe is recent."""
        return (
            self.state in (State.OPEN, State.SPOOLING)
            and self._clock() - self._failed_at < self._probe_s + limits.PROBE_EVIDENCE_S
        )

    @property
    def spools_results(self) -> bool:
        """Whether results go directly to the spool, after a first one was spilled."""
        return self.state in (State.SPOOLING, State.HALF_OPEN)

    def diverts_result(self) -> bool:
        """Whether a result that has just arrived goes directly to the spool. Call it only where there is a spool."""
        if self.is_open:
            self.handle(Event.RESULT_SPILLED)
        return self.spools_results

    def start_spooling(self) -> None:
        """Send results directly to the spool, because one could not be stored in time, and probe for the readers."""
        self.handle(Event.RESULT_SPILLED)
        self.start_probing()

    def stop_spooling(self) -> None:
        """Send results to the database again: the replay has stored a batch, or the spool is empty or unreadable."""
        self.handle(Event.BATCH_REPLAYED)

    def start_probing(self) -> None:
        """Probe in the background until a probe succeeds. When one fails, waiting requests time out at once."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe_until_success())

    def handle(self, event: Event) -> None:
        """Change the state by _TRANSITIONS, and log what it means for requests. Called by the methods above and by probes."""
        before, spooled_before = self.state, self.spools_results
        self.state = _TRANSITIONS.get((before, event), before)
        if self.state is before:
            return
        if event is Event.PROBE_FAILED:
            if not self._is_standby:
                log.warning("the database is unavailable: requests fail at once")
            for limit in self._waiting:
                if not limit.expired():
                    limit.reschedule(0)
        if self.spools_results and not spooled_before:
            self._spooling_since, self.spooled = self._clock(), 0
            log.warning("results go to the spool: the database can't take them")
        elif spooled_before and not self.spools_results:
            after_s = round(self._clock() - self._spooling_since, 1)
            log.warning("the database takes results again", after_s=after_s, spooled=self.spooled)

    @asynccontextmanager
    async def limit(self, timeout_s: float) -> AsyncIterator[None]:
        """Apply a timeout; it fires immediately when a probe fails. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(limits.PROBE_AFTER_S, self._probe_for_slow_requests)
        async with time_limit(now + timeout_s) as limit:
            self._waiting[limit] = now
            try:
                yield
            finally:
                del self._waiting[limit]

    def _probe_for_slow_requests(self) -> None:
        self._timer = None
        if self._waiting:
            loop = asyncio.get_running_loop()
            due_at = min(self._waiting.values()) + limits.PROBE_AFTER_S
            if due_at <= loop.time():
                self.start_probing()
                due_at = loop.time() + limits.PROBE_AFTER_S
            self._timer = loop.call_at(due_at, self._probe_for_slow_requests)

    async def close(self) -> None:
        """Stop probing."""
        if self._timer is not None:
            self._timer.cancel()
        if self._probing is not None:
            await cancel_and_wait([self._probing])

    async def _probe_until_success(self) -> None:
        while not await self._probe_once():
            self._failed_at = self._clock()
            self.handle(Event.PROBE_FAILED)
            await asyncio.sleep(limits.PROBE_INTERVAL_S)
        self.handle(Event.PROBE_SUCCEEDED)

    async def _probe_once(self) -> bool:
        """Whether the database is available, or may be."""
        answers = self.answers
        probe = asyncio.ensure_future(self._probe())
        ticks = asyncio.create_task(_count_ticks(self._probe_s))
        try:
            await asyncio.wait((probe, ticks), return_when=asyncio.FIRST_COMPLETED)
            return (probe.done() and probe.result()) or self.answers != answers
        finally:
            await cancel_and_wait((probe, ticks))


async def _count_ticks(seconds: float) -> None:
    for _ in range(math.ceil(seconds / _TICK_S)):
        await asyncio.sleep(_TICK_S)
