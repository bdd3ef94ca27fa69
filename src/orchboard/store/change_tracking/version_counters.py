"""Change counters shared by all workers; used to invalidate cached answers and in-memory results."""

import fcntl
import mmap
import zlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from functools import lru_cache, partial
from operator import itemgetter

from orchboard.errors import SetupError
from orchboard.results.parse import ParsedStats
from orchboard.runtime.shared_memory import shared_memory
from orchboard.stats import JobType

# Names are hashed to this many keys; a collision costs one unnecessary computation.
KEYS = 4096

EVERYTHING = 0
"""Key that every answer depends on: counts changed regions, and results that were stored without a POST."""

LATE = 3
"""Counts inserts that took longer than LATE_INSERT_S: their rows may be older than a reader's last refresh, so that readers
must read again."""


_JOB_TYPES = {JobType.TRANSCODING: 1, JobType.AI: 2}
_NAMED = 4

# A worker overlaps with its replacement, and a worker that hangs may hold its slot for a while.
SPARE_WORKER_SLOTS = 8

_COUNTER_BYTES = 8


def job_type_key(job_type: JobType) -> int:
    """Key that counts every result of a job type."""
    return _JOB_TYPES[job_type]


@lru_cache(maxsize=1024)
def model_key(pipeline: str, model: str) -> int:
    """Key that counts the results of one pipeline and model."""
    return _named("model", pipeline, model)


@lru_cache(maxsize=2048)
def orchestrator_key(orchestrator: str) -> int:
    """Key that counts the results of one orchestrator, given in lower case."""
    return _named("orchestrator", orchestrator)


@lru_cache(maxsize=512)
def region_key(job_type: JobType, region: str) -> int:
    """Key that counts the results of one job type from one region."""
    return _named("region", job_type, region)


def score_version_keys(
    job_type: JobType,
    pipeline: str | None = None,
    model: str | None = None,
    *,
    region: str | None = None,
    orchestrator: str | None = None,
) -> tuple[int, ...]:
    """The counters that invalidate scores. AI scores depend on medians over all orchestrators, transcoding scores don't."""
    if job_type is JobType.AI and pipeline and model:
        return (model_key(pipeline, model),)
    if job_type is JobType.TRANSCODING and orchestrator:
        return (orchestrator_key(orchestrator),)
    if region:
        return (region_key(job_type, region),)
    return (job_type_key(job_type),)


def _named(*names: str) -> int:
    return _NAMED + zlib.crc32("\0".join(names).encode("utf-8", "surrogatepass")) % (KEYS - _NAMED)


EXTERNAL_WRITES = _named("elsewhere")
"""Counts detected external writes (external_writes.py): in-memory results must be read again. Cached answers do not depend
on it, as they ask the detector. It is a named key because workers of older versions use the same numbers."""

_POSITION = _named("position in the WAL")
"""Not a count but a position, see `note_position`. It is a named key for the reason above."""


class VersionCounters:
    """One counter for each key; an answer is valid while the counters of its keys are unchanged.

    Processes have no atomic addition, so each worker writes only its own slot of a counter. The slots of a key are
    adjacent, so that one slice reads them all. Counters only grow: a worker continues with the values in its slot.

    worker_slot -- no other worker has it
    """

    def __init__(self, memory: mmap.mmap, worker_slot: int = 0, lock: int | None = None) -> None:
        self._memory = memory
        # A memoryview writes an item at once; struct writes zeros first, which another worker could read.
        self._counters = memoryview(memory).cast("Q")
        self._width = len(memory) // KEYS
        self.worker_slot = worker_slot
        self._lock = lock  # stays open for life: closing it would free the worker slot

    @classmethod
    def alone(cls) -> "VersionCounters":
        """Counters of a server with one worker."""
        return cls(mmap.mmap(-1, KEYS * _COUNTER_BYTES))

    @classmethod
    def shared(cls, file: int) -> "VersionCounters":
        """Counters in a `shared_memory_file`, with a free worker slot. Raises SetupError if no slot is free.

        A lock holds the slot. Closing any descriptor of the file in this process drops the lock, so `file` must be the
        only one and stays open.
        """
        memory = mmap.mmap(file, 0)
        for worker_slot in range(len(memory) // KEYS // _COUNTER_BYTES):
            with suppress(OSError):
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, worker_slot)
                return cls(memory, worker_slot, file)
        raise SetupError("more workers than the server was started for")

    def version_reader(self, *keys: int) -> Callable[[], object]:
        """A function that returns the current versions of some keys, for comparison.

        Call it before an answer is computed, and again before the answer is reused.
        """
        width = self._width
        read = itemgetter(*(slice(key * width, (key + 1) * width) for key in keys))
        return partial(read, self._memory)

    def note(self, stored: Iterable[ParsedStats]) -> None:
        """Count results; call it after their commit and before they are acknowledged."""
        keys: set[int] = set()
        for parsed in stored:
            job_type = parsed.job_type
            keys.add(_JOB_TYPES[job_type])
            keys.add(region_key(job_type, parsed.region))
            keys.add(orchestrator_key(parsed.orchestrator))
            if job_type is JobType.AI:
                keys.add(model_key(parsed.pipeline, parsed.model))
        for key in keys:
            self._count(key)

    def mark_late(self) -> None:
        """Count an insert that took longer than LATE_INSERT_S; call it before `note`."""
        self._count(LATE)

    def note_external_write(self) -> None:
        """Count a detected external write."""
        self._count(EXTERNAL_WRITES)

    def invalidate_all(self) -> None:
        """Invalidate every answer."""
        self._count(EVERYTHING)

    def note_position(self, position: int) -> None:
        """Record a position in the WAL that a commit is before; call it before the commit is counted.

        position -- see `position_of`
        """
        slot = _POSITION * self._width // _COUNTER_BYTES + self.worker_slot
        self._counters[slot] = max(self._counters[slot], position)

    def needed_position(self) -> int:
        """The position that all commits are before that were counted so far; 0 if none was noted."""
        first = _POSITION * self._width // _COUNTER_BYTES
        return max(self._counters[first : first + self._width // _COUNTER_BYTES])

    def _count(self, key: int) -> None:
        self._counters[key * self._width // _COUNTER_BYTES + self.worker_slot] += 1


def shared_memory_file(workers: int) -> AbstractContextManager[int]:
    """A file descriptor of shared counters for a number of workers, closed at the end."""
    return shared_memory("orchboard-changes", (workers + SPARE_WORKER_SLOTS) * _COUNTER_BYTES * KEYS)
