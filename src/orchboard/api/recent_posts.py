"""The numbers of posts in the last minute and hour, from samples of the counters of all workers."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping

from msgspec import Struct

from orchboard import limits
from orchboard.api.request_counters import RequestCounters
from orchboard.store.ingest.ingest_counters import IngestCounters

HOUR_S = 3600.0

_PATH = "/api/post_stats"


class PostCounts(Struct, frozen=True):
    """Posts within a time.

    seconds -- its length, less than asked for if this worker has not run that long
    accepted -- acknowledged results; refused -- the other answers, by status
    """

    seconds: float
    accepted: int
    refused: Mapping[int, int]


class _Sample(Struct, frozen=True):
    at: float
    accepted: float
    refused: Mapping[int, float]


class RecentPosts:
    """Samples of the totals of all workers, taken by this one.

    clock -- monotonic, in seconds
    """

    def __init__(
        self,
        requests: RequestCounters,
        ingest: IngestCounters,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests = requests
        self._ingest = ingest
        self._clock = clock
        self._samples: deque[_Sample] = deque()

    async def keep(self) -> None:
        """Sample until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(limits.STATUS_SAMPLE_S)

    def sample(self) -> None:
        """Keep the present totals, and drop those of over an hour ago."""
        now = self._read()
        self._samples.append(now)
        while len(self._samples) > 1 and self._samples[1].at <= now.at - HOUR_S:
            self._samples.popleft()

    def within(self, seconds: float) -> PostCounts:
        """The counts of the last seconds, to the precision of a sample."""
        now = self._read()
        older = [sample for sample in self._samples if sample.at <= now.at - seconds]
        first = older[-1] if older else next(iter(self._samples), now)
        refused = {
            status: round(count - first.refused.get(status, 0)) for status, count in now.refused.items()
        }
        return PostCounts(
            now.at - first.at,
            max(round(now.accepted - first.accepted), 0),
            {status: count for status, count in refused.items() if count > 0},
        )

    def _read(self) -> _Sample:
        statuses = self._requests.statuses(_PATH)
        refused = {status: count for status, count in statuses.items() if status >= 400}
        return _Sample(self._clock(), sum(self._ingest.accepted().values()), refused)
