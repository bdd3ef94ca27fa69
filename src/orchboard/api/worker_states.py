"""The states of all workers, which each publishes in the memory that they share."""

import os
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import Struct

from orchboard import __version__
from orchboard.runtime.counters import Block, Counters
from orchboard.runtime.memory import resident_bytes

_VERSION = float(zlib.crc32(__version__.encode()))


class WorkerState(Struct, frozen=True):
    """The state of one worker.

    started_at -- by this machine's clock
    resident_bytes -- its memory in RAM; 0 where that can't be read
    streams -- open streams of `/api/stream`
    is_this -- whether it is this process; is_same_version -- whether it runs the version of this one
    """

    pid: int
    started_at: datetime
    resident_bytes: int
    streams: int
    is_this: bool
    is_same_version: bool


class WorkerGauges:
    """The gauges of a worker. streams -- returns the number of its open streams"""

    def __init__(self, counters: Counters, streams: Callable[[], int]) -> None:
        started_at = time.time()
        gauges: dict[str, Callable[[], float]] = {
            "process id": os.getpid,
            "start": lambda: started_at,
            "resident bytes": resident_bytes,
            "streams": streams,
            "version": lambda: _VERSION,
        }
        self._counters = counters
        self._blocks: list[Block] = [counters.add_gauge(name, read) for name, read in gauges.items()]

    def read(self) -> list[WorkerState]:
        """The states of all workers of this server, the longest running first; those of others are up to a second old."""
        columns = [self._counters.each(block) for block in self._blocks]
        if len({len(column) for column in columns}) > 1:  # a worker has ended meanwhile
            return self.read()
        found = [_state(*(values[0] for values in worker)) for worker in zip(*columns, strict=True)]
        return sorted(
            (state for state in found if state.pid), key=lambda state: (state.started_at, state.pid)
        )

    def unreadable(self) -> int:
        """The number of further workers whose state can't be read, as they are of another version."""
        return self._counters.unreadable_workers()


def _state(pid: float, started_at: float, resident: float, streams: float, version: float) -> WorkerState:
    return WorkerState(
        int(pid),
        datetime.fromtimestamp(started_at, UTC),
        int(resident),
        int(streams),
        pid == os.getpid(),
        version == _VERSION,
    )
