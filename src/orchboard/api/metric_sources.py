"""What /metrics and /readyz show beside the state of the store."""

import asyncio
import math
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from orchboard.answers.cache import AnswerCache
from orchboard.api.request_counters import RequestCounters
from orchboard.api.standby_metrics import StandbyGauges
from orchboard.api.worker_states import WorkerGauges
from orchboard.leaderboard import Leaderboard
from orchboard.runtime.counters import Block, Counters
from orchboard.stats import JobType

NEWEST_RESULTS_WINDOW = timedelta(days=7)
"""Regions without a result for longer are not listed any more."""

# The whole window is read again after this time, in case results were deleted; meanwhile only the last hour.
_READ_AGAIN_S = 600.0
_RECENT = timedelta(hours=1)

# Two requests within this time share a read.
_REUSED_S = 1.0

NewestByRegion = Mapping[tuple[JobType, str], datetime]


class NewestResults:
    """The receipt times of the newest results by job type and region, read from the database."""

    def __init__(self, board: Leaderboard) -> None:
        self._board = board
        self._reading = asyncio.Lock()
        self._known: dict[tuple[JobType, str], datetime] = {}
        self._read_at = self._read_again_at = -math.inf

    async def fetch(self) -> NewestByRegion:
        """The receipt times. Raises DatabaseUnavailableError."""
        async with self._reading:
            if time.monotonic() - self._read_at > _REUSED_S:
                await self._read(time.monotonic())
            return self._known

    async def _read(self, now: float) -> None:
        reads_all = now >= self._read_again_at
        since = self._board.now() - NEWEST_RESULTS_WINDOW
        found = await self._board.store.fetch_newest_results(
            since if reads_all else self._board.now() - _RECENT
        )
        known = {} if reads_all else {key: at for key, at in self._known.items() if at >= since}
        self._known = known | found
        self._read_at = now
        if reads_all:
            self._read_again_at = now + _READ_AGAIN_S


class Gauges(Struct, frozen=True):
    """States of all workers."""

    connections_in_use: Block
    connections_idle: Block
    connections_max: Block
    cache_bytes: Block
    cache_entries: Block
    workers: WorkerGauges
    standbys: StandbyGauges | None = None


class MetricSources(Struct, frozen=True):
    """Counters, and what is read when it is asked for.

    shows_orchestrators -- whether the results of each orchestrator are shown
    """

    counters: Counters
    requests: RequestCounters
    answers: AnswerCache
    gauges: Gauges
    newest: NewestResults
    shows_orchestrators: bool = False
