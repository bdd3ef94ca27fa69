"""Which stored results have changed, as counters that all workers of one server share."""

import fcntl
import mmap
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from operator import itemgetter
from typing import IO

from orchboard.errors import SetupError
from orchboard.results.parse import ParsedStats
from orchboard.stats import JobType

# What an answer may depend on is hashed to one of these; two that meet cost a needless computation.
SLOTS = 4096

EVERYTHING = 0
"""Every answer depends on it: regions were added, or results arrived by another way than a post."""

LATE = 3
"""Results that were long on their way into the database: they lie behind those that others may have read by then."""

LATE_AFTER_S = 1.0
"""Those that took less are among the ones that a reading counts (recent.py), up to 2,000 a second."""

SERVES_S = 0.01
"""So long a reading serves those who come after it, while this host stores nothing and nobody saw another do so. An
answer is kept for 0.9 s without a look at other hosts (lookout.py); both together are less than the second that is
promised. A quarter of a second would spare most new questions a statement, and whoever writes by hand and then asks
something new would not see it: the recorded exchanges do just that."""

_JOB_TYPES = {JobType.TRANSCODING: 1, JobType.AI: 2}
_NAMED = 4

# A worker overlaps with the one it replaces; one that does not end may hold its lane for a while.
_SPARE_LANES = 8

_COUNTER_BYTES = 8


def job_type_slot(job_type: JobType) -> int:
    """Counts every result of a job type."""
    return _JOB_TYPES[job_type]


@lru_cache(maxsize=1024)
def model_slot(pipeline: str, model: str) -> int:
    """Counts the results of one pipeline and model."""
    return _named("model", pipeline, model)


@lru_cache(maxsize=2048)
def orchestrator_slot(orchestrator: str) -> int:
    """Counts the results of one orchestrator, written in lower case."""
    return _named("orchestrator", orchestrator)


@lru_cache(maxsize=512)
def region_slot(job_type: JobType, region: str) -> int:
    """Counts the results of one job type from one region."""
    return _named("region", job_type, region)


def _named(*names: str) -> int:
    return _NAMED + zlib.crc32("\0".join(names).encode("utf-8", "surrogatepass")) % (SLOTS - _NAMED)


ELSEWHERE = _named("elsewhere")
"""Another host may have stored results, as a look at the database showed (lookout.py): read again. Answers do not depend
on it, they have the look itself. A slot among the named ones: workers of a version that knows none count by the same."""


class Changes:
    """Counters of stored results; an answer is true as long as the counters it was made under stand still.

    Processes have no atomic addition, so each counts in a lane of its own; a slot's lanes lie side by side,
    so that one slice reads them all. Counters only grow: whoever inherits a lane goes on in it.
    """

    def __init__(self, memory: mmap.mmap, lane: int = 0, lock: int | None = None) -> None:
        self._memory = memory
        # A view's item is written in one piece; struct writes zeros first, and another worker reads them.
        self._counters = memoryview(memory).cast("Q")
        self._width = len(memory) // SLOTS
        self._lane = lane
        self._lock = lock  # open as long as we live: closing it would free the lane

    @classmethod
    def alone(cls) -> "Changes":
        """Counters of a server with one worker."""
        return cls(mmap.mmap(-1, SLOTS * _COUNTER_BYTES))

    @classmethod
    def shared(cls, file: int) -> "Changes":
        """Those behind a descriptor of `shared_counters`, with a free lane taken. Raises SetupError when there is none.

        The lane is held by a lock that is dropped when the process closes any descriptor of the counters: this one is
        kept, and has to be the only one.
        """
        memory = mmap.mmap(file, 0)
        for lane in range(len(memory) // SLOTS // _COUNTER_BYTES):
            with suppress(OSError):
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, lane)
                return cls(memory, lane, file)
        raise SetupError("more workers than the server was started for")

    def token_of(self, *slots: int) -> Callable[[], object]:
        """A function that reads what the slots stand at, as something to compare.

        Read before an answer is computed, and again before it is given another time.
        """
        width = self._width
        read = itemgetter(*(slice(slot * width, (slot + 1) * width) for slot in slots))
        return partial(read, self._memory)

    def note(self, stored: Iterable[ParsedStats]) -> None:
        """Count results. After their commit and before anybody is told of it."""
        slots: set[int] = set()
        for parsed in stored:
            job_type = parsed.job_type
            slots.add(_JOB_TYPES[job_type])
            slots.add(region_slot(job_type, parsed.region))
            slots.add(orchestrator_slot(parsed.orchestrator))
            if job_type is JobType.AI:
                slots.add(model_slot(parsed.pipeline, parsed.model))
        for slot in slots:
            self._count(slot)

    def note_late(self) -> None:
        """Say that what is noted next took longer than LATE_AFTER_S to be stored."""
        self._count(LATE)

    def note_elsewhere(self) -> None:
        """Say that somebody wrote to the database, maybe on another host."""
        self._count(ELSEWHERE)

    def note_everything(self) -> None:
        """Make every answer untrue."""
        self._count(EVERYTHING)

    def _count(self, slot: int) -> None:
        self._counters[slot * self._width // _COUNTER_BYTES + self._lane] += 1


@contextmanager
def shared_counters(workers: int) -> Iterator[int]:
    """A descriptor of counters for so many workers, closed at the end.

    Behind it is memory without a name: nobody can remove it, as cleaners of the temporary directory do with files.
    """
    with _nameless_file() as file:
        file.truncate((workers + _SPARE_LANES) * _COUNTER_BYTES * SLOTS)
        yield file.fileno()


def _nameless_file() -> IO[bytes]:
    if sys.platform == "linux":
        with suppress(OSError):
            return open(os.memfd_create("orchboard-changes"), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
