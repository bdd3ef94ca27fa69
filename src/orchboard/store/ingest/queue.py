"""The queue of submissions that wait to be stored: bounded in bytes, read in batches, with a timer for time limits."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError
from orchboard.results.parse import ParsedStats
from orchboard.results.submission import Submission
from orchboard.store.ingest.ingest_counters import IngestCounters

# Approximate memory of a queued submission without its payload.
_ENTRY_BYTES = 2048

# Minimum interval between scans for expired entries.
_MIN_SCAN_INTERVAL_S = 0.05


class QueueEntry(Struct, eq=False):
    """A submission and the future that its sender awaits.

    stored -- done after the commit, or when the submission is in the spool
    is_spilled -- the submission is in the spool, or is being written to it
    size -- approximate memory in bytes
    received_at -- when its primary key was assigned, by the event loop's clock; None: unknown, or not assigned yet
    counters -- count it when it is acknowledged
    """

    submission: Submission
    stored: asyncio.Future[ParsedStats]
    size: int
    counters: IngestCounters
    is_spilled: bool = False
    received_at: float | None = None

    @property
    def is_pending(self) -> bool:
        """Whether the writer still has to store it: its sender waits, and it is not spilled."""
        return not (self.is_spilled or self.stored.done())

    def resolve(self, error: BaseException | None = None) -> None:
        """Resolve the future, unless it is done or cancelled."""
        if self.stored.done():
            return
        if error is None:
            self.counters.count_accepted(self.submission)
            self.stored.set_result(self.submission.parsed)
        else:
            self.stored.set_exception(error)
            self.stored.exception()  # the sender may have left: keep asyncio from logging the exception


class WriteQueue:
    """First in, first out. Entries whose future is done are skipped."""

    def __init__(self, counters: IngestCounters) -> None:
        self._counters = counters
        self._entries: deque[QueueEntry] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[QueueEntry]:
        return iter(self._entries)

    def append(self, submission: Submission, stored: asyncio.Future[ParsedStats]) -> None:
        """Queue a submission. Raises DatabaseUnavailableError when the queue holds MAX_WAITING_BYTES."""
        if self._bytes > limits.MAX_WAITING_BYTES:
            raise DatabaseUnavailableError("too many results are waiting to be stored; try again")
        size = len(submission.parsed.payload) + _ENTRY_BYTES
        self._entries.append(QueueEntry(submission, stored, size, self._counters))
        self._bytes += size

    def put_back(self, entries: Sequence[QueueEntry]) -> None:
        """Queue entries again, in front of all others and in their order."""
        self._entries.extendleft(reversed(entries))
        self._bytes += sum(entry.size for entry in entries)

    def extend(self, entries: Sequence[QueueEntry]) -> None:
        """Queue entries of another queue, behind all others."""
        self._entries.extend(entries)
        self._bytes += sum(entry.size for entry in entries)

    def next_batch(self, max_rows: int) -> list[QueueEntry]:
        """Remove and return the oldest pending entries, within MAX_INSERT_ROWS and MAX_INSERT_BYTES.

        At least one, unless none is pending. An Idempotency-Key occurs once in a batch.
        """
        max_rows = min(max_rows, limits.MAX_INSERT_ROWS)
        batch: list[QueueEntry] = []
        keys: set[str] = set()
        bytes_left = limits.MAX_INSERT_BYTES
        while self._entries and len(batch) < max_rows:
            entry = self._entries[0]
            key = entry.submission.key
            if batch and (entry.size > bytes_left or key in keys):
                break
            self._entries.popleft()
            self._bytes -= entry.size
            if not entry.stored.done():
                batch.append(entry)
                bytes_left -= entry.size
                if key is not None:
                    keys.add(key)
        return batch

    def remove(self, entries: Iterable[QueueEntry]) -> None:
        """Remove entries without resolving them."""
        removed = set(map(id, entries))
        self._entries = deque(entry for entry in self._entries if id(entry) not in removed)
        self._bytes = sum(entry.size for entry in self._entries)

    def refuse(self, entries: Iterable[QueueEntry], error: Exception) -> None:
        """Resolve entries with an error, and remove those that are in the queue."""
        for entry in list(entries):
            entry.resolve(error)
        self._entries = deque(entry for entry in self._entries if not entry.stored.done())
        self._bytes = sum(entry.size for entry in self._entries)


class ExpiryTimer:
    """Calls `scan` when the next entry expires.

    A scan is postponed once by LOOP_GRACE_S when the event loop was blocked: answers of the database may be unread.

    scan -- handles expired entries and returns the loop time at which the next one expires
    """

    def __init__(self, scan: Callable[[float], float]) -> None:
        self._scan = scan
        self._timer: asyncio.TimerHandle | None = None
        self._was_late = False

    def start(self, due_at: float) -> None:
        """Schedule the first scan, by the event loop's clock."""
        self._timer = asyncio.get_running_loop().call_at(due_at, self._run, due_at)

    def stop(self) -> None:
        """Cancel the next scan."""
        if self._timer is not None:
            self._timer.cancel()

    def _run(self, due_at: float) -> None:
        now = asyncio.get_running_loop().time()
        if now - due_at > limits.LOOP_LATE_S and not self._was_late:
            self._was_late = True
            self.start(now + limits.LOOP_GRACE_S)
        else:
            self._was_late = False
            self.start(max(self._scan(now), now + _MIN_SCAN_INTERVAL_S))
