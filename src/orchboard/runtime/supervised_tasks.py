"""Supervised background tasks: a task that dies or stalls is restarted, and its health can be read."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from msgspec import Struct

from orchboard.runtime.tasks import cancel_and_wait, consume_exception

log = structlog.get_logger(__name__)

# Pause before a restart, doubled from the first value to the last with each restart.
FIRST_PAUSE_S, _LAST_PAUSE_S = 1.0, 60.0

# Time limit for the end of a cancelled task. A task that waits for a dead connection never ends.
CANCEL_S = 5.0


class TaskHealth(Struct):
    """The health of a background task. Times are those of time.monotonic().

    stall_s -- without progress for longer than this, the task counts as stalled
    progress_at -- time of the last progress; succeeded_at -- time of the last completed round, None before the first
    failures -- number of failed rounds; restarts -- how often the task died or stalled and was restarted
    failed_at -- time of the last failed round, None before the first; error -- its error
    """

    name: str
    stall_s: float
    progress_at: float
    succeeded_at: float | None = None
    failures: int = 0
    restarts: int = 0
    is_failing: bool = False
    failed_at: float | None = None
    error: str = ""

    def progress(self) -> None:
        """Record progress."""
        self.progress_at = time.monotonic()

    def succeed(self) -> None:
        """Record a completed round."""
        self.progress_at = self.succeeded_at = time.monotonic()
        if self.is_failing:
            self.is_failing = False
            log.info("background task works again", task=self.name)

    def fail(self, error: str) -> None:
        """Record a failed round, and log it. The log leaves out what it repeats."""
        self.progress()
        self.failures += 1
        self.failed_at, self.error = self.progress_at, error
        self.is_failing = True
        log.warning("background task failed and will try again", task=self.name, error=error)

    @property
    def is_late(self) -> bool:
        """Whether the last success is longer ago than `stall_s`."""
        return self.age_s is not None and self.age_s > self.stall_s

    @property
    def age_s(self) -> float | None:
        """Seconds since the last success; None before the first."""
        return None if self.succeeded_at is None else time.monotonic() - self.succeeded_at


class Background:
    """The background tasks of one process, by name.

    first_pause_s -- pause before the first restart of a task
    cancel_s -- time limit for the end of a cancelled task
    """

    def __init__(self, *, first_pause_s: float = FIRST_PAUSE_S, cancel_s: float = CANCEL_S) -> None:
        self._first_pause_s = first_pause_s
        self._cancel_s = cancel_s
        self.tasks: dict[str, TaskHealth] = {}
        self._supervisors: list[asyncio.Task[None]] = []

    def start(self, name: str, run: Callable[[TaskHealth], Awaitable[None]], *, stall_s: float) -> None:
        """Run a task until it returns, or until `stop`. Needs a running loop.

        run -- called with the task's health, on which it records progress; stall_s -- see TaskHealth
        """
        health = self.tasks[name] = TaskHealth(name, stall_s, time.monotonic())
        self._supervisors.append(asyncio.create_task(self._supervise(health, run)))

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end."""
        await cancel_and_wait(self._supervisors)

    async def _supervise(self, health: TaskHealth, run: Callable[[TaskHealth], Awaitable[None]]) -> None:
        pause_s = self._first_pause_s
        while True:
            health.progress()
            task = asyncio.ensure_future(run(health))
            task.add_done_callback(consume_exception)
            try:
                why = await _watch(health, task)
            finally:
                task.cancel()
                await asyncio.wait([task], timeout=self._cancel_s)
            if why is None:
                return
            health.restarts += 1
            log.error("background task is restarted", task=health.name, error=why)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LAST_PAUSE_S)


async def _watch(health: TaskHealth, task: "asyncio.Future[None]") -> str | None:
    """Wait until a task ends or stalls; returns why it must be restarted, None when it returned."""
    while True:
        left_s = health.progress_at + health.stall_s - time.monotonic()
        if left_s <= 0:
            return f"no progress for {health.stall_s:g} s"
        await asyncio.wait([task], timeout=left_s)
        if task.done():
            if task.cancelled():
                return "it was cancelled"
            error = task.exception()
            return None if error is None else f"{type(error).__name__}: {error}"
