"""The live tail: all results after the watermark, in memory, refreshed from the database before they are used."""

import asyncio
import math
import time
from datetime import datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

import asyncpg

from orchboard import limits
from orchboard.runtime.tasks import consume_exception
from orchboard.stats import JobType
from orchboard.store.change_tracking.snapshot_history import SnapshotHistory
from orchboard.store.change_tracking.version_counters import (
    EVERYTHING,
    EXTERNAL_WRITES,
    VersionCounters,
    job_type_key,
)
from orchboard.store.postgres.clock import SECOND, DatabaseClock, from_pg_time, to_pg_time
from orchboard.store.postgres.reads import Reads
from orchboard.store.rollups.buckets import TEN_MINUTES
from orchboard.store.rollups.group_index import Indices
from orchboard.store.rollups.window_plan import Coverage
from orchboard.store.sql_files import sql

# A refresh reads results from this long before the previous one: they are mostly committed in the order of receipt.
_OVERLAP = SECOND // 10

# An older result without an invalidation was inserted at most one second (migration 11) after its receipt time, by a
# transaction that the previous refresh did not see. Counting finds it. The other second allows for steps of the clock.
_LATE = 2 * SECOND

# A step back of the database's clock that makes a refresh read everything again.
_CLOCK_STEP_S = 0.5


R = TypeVar("R")


class OutdatedError(Exception):
    """The results in memory can't be refreshed: a region, job type or tester has changed, or they are too old."""


class _Fetched(NamedTuple):
    """A row of `tail_results`.

    now -- the database's time of which it is
    least_offset_s, greatest_offset_s -- the least and greatest lead of the database's clock over time.monotonic, in seconds;
        infinite if the row says nothing of that clock
    """

    row: asyncpg.Record
    now: datetime
    least_offset_s: float = -math.inf
    greatest_offset_s: float = math.inf


class TailContent(Protocol[R]):
    """What a live tail holds of its results.

    statement -- reads it, with the parameters and the columns of `tail_results`
    needs_details -- whether a bucket replaces it only once its details are built
    """

    statement: str
    needs_details: bool

    @property
    def event_time(self) -> Indices:
        """Receipt times of what is held, ascending: one for each result that the statement counts as `before`."""

    async def read(self, row: asyncpg.Record) -> R:
        """The results in a row of the statement."""

    def replace(self, since: int, results: R) -> None:
        """Replace what was received from a time on."""

    def drop_before(self, since: int) -> None:
        """Remove what was received before a time."""


class LiveTail(Generic[R]):
    """The results received since `since`, and the coverage of the earlier ones.

    content -- what it holds of them
    since -- in microseconds since 2000; coverage.tail_since, or later if there are too many results
    generation -- changes with each refresh that found a change
    invalidations -- changes with each refresh that found a change of earlier results
    """

    def __init__(
        self, database: Reads, content: TailContent[R], versions: VersionCounters, clock: DatabaseClock
    ) -> None:
        self._database = database
        self._content = content
        self._clock = clock
        self._read_versions = versions.version_reader(
            EVERYTHING, EXTERNAL_WRITES, *(job_type_key(job_type) for job_type in JobType)
        )
        self._versions: object = None
        self._began_at = -math.inf  # of the last refresh, while it may serve requests
        self._refreshed_at = -math.inf
        self._refreshing: asyncio.Future[None] | None = None
        self._read_until = 0
        self._offset_s = -math.inf
        self._coverage: Coverage | None = None
        self._coverage_text = ""
        self._snapshots = SnapshotHistory()
        self.was_unchanged = False  # at the last refresh
        self.since = 0
        self.generation = 0
        self.invalidations = 0

    @property
    def coverage(self) -> Coverage:
        """The rollup buckets as of the last refresh; needs one."""
        assert self._coverage is not None  # noqa: S101 - see above
        return self._coverage

    async def begin_refresh(self, requested_at: float) -> "asyncio.Task[None] | None":
        """Refresh, or only start to if the previous refresh found no change, in which case the next rarely does.

        An answer computed while the returned task runs is valid if `generation` is unchanged when the task ends.
        """
        is_likely_unchanged = self.was_unchanged and self._versions == self._read_versions()
        if self._serves(requested_at) or not is_likely_unchanged:
            await self.refresh(requested_at)
            return None
        refreshing = asyncio.create_task(self.refresh(requested_at))
        refreshing.add_done_callback(consume_exception)
        await asyncio.sleep(0)  # until the statement is written, and
        await asyncio.sleep(0)  # until the event loop has sent it
        return refreshing

    async def refresh(self, requested_at: float) -> None:
        """Include everything that was committed before `requested_at`, in time.monotonic seconds (single-flight).

        Commits by other hosts are included if they are older than SHARED_READ_S.
        Raises DatabaseUnavailableError, OutdatedError.
        """
        while not self._serves(requested_at):
            if self._refreshing is None:
                await self._refresh_for_all()
            else:
                await asyncio.shield(self._refreshing)

    async def _refresh_for_all(self) -> None:
        """Refresh once for all waiters. They get the same exception; if this call is cancelled, a waiter retries."""
        refreshing = self._refreshing = asyncio.get_running_loop().create_future()
        refreshing.add_done_callback(consume_exception)
        try:
            await self._refresh()
        except Exception as error:
            refreshing.set_exception(error)
            raise
        finally:
            self._refreshing = None
            if not refreshing.done():
                refreshing.set_result(None)

    def expire(self) -> None:
        """Make the next request refresh."""
        self._began_at = -math.inf

    def _serves(self, requested_at: float) -> bool:
        return self._began_at >= requested_at or (
            requested_at < self._began_at + limits.SHARED_READ_S and self._versions == self._read_versions()
        )

    async def _refresh(self) -> None:
        began_at, versions = time.monotonic(), self._read_versions()
        if versions == self._versions and await self._is_unchanged():
            self._began_at = self._refreshed_at = began_at
            self.was_unchanged = True
            return
        self.was_unchanged = False
        if self._snapshots.latest and began_at - self._refreshed_at > limits.TAIL_IDLE_S:
            raise OutdatedError
        fetched, since, coverage = await self._fetch_changed()
        results = await self._content.read(fetched.row)
        # No await from here on: the whole refresh is applied, or none of it.
        self._coverage, self._coverage_text = coverage, fetched.row["coverage"]
        self.generation += 1
        self.invalidations += fetched.row["changed_since"] is not None
        self._apply(results, since)
        self._read_until = to_pg_time(fetched.now)
        self._snapshots.add(fetched.row["snapshot"], self._read_until)
        self._offset_s = fetched.least_offset_s
        self._began_at = self._refreshed_at = began_at
        self._versions = versions

    async def _fetch_changed(self) -> tuple[_Fetched, int, Coverage]:
        """Fetch the results from a time before which none has changed; that time; and the coverage."""
        is_first = not self._snapshots.latest
        coverage, text = self._coverage or await self._fetch_coverage(), self._coverage_text
        since = coverage.tail_since if is_first else self._read_until - _OVERLAP
        counted_since = since if is_first else self._counted_since(since)
        while True:
            fetched = await self._fetch(since, counted_since)
            reread_since = since if is_first else self._changed_since(fetched, since, counted_since)
            if fetched.row["coverage"] != text:
                before, coverage, text = coverage, await self._fetch_coverage(), fetched.row["coverage"]
                if coverage.tail_since < before.tail_since:
                    reread_since = min(reread_since, coverage.tail_since)
            if reread_since >= since:
                return fetched, since, coverage
            since = counted_since = reread_since

    def _counted_since(self, since: int) -> int:
        """The time from which to count the results received before `since`; the last refresh included all earlier ones.

        A transaction that it did not see has stored its results after an earlier refresh, when it was not running yet.
        """
        started = self._snapshots.running_since
        earliest = self.since if started is None else max(started - _LATE, self.since)
        return min(earliest, since)

    def _changed_since(self, fetched: _Fetched, since: int, counted_since: int) -> int:
        """The time from which to read again, as results were changed or the clock was stepped; else `since`.

        Raises OutdatedError.
        """
        row = fetched.row
        if row["names_changed"]:
            raise OutdatedError
        first, last = self._content.event_time.searchsorted((counted_since, since))
        if row["before"] != last - first:
            since = counted_since
        if fetched.greatest_offset_s < self._offset_s - _CLOCK_STEP_S:
            since = min(since, self.since)
        if row["changed_since"] is not None:
            since = min(since, max(to_pg_time(row["changed_since"]), self.since))
        return since

    async def _is_unchanged(self) -> bool:
        """Whether no writing transaction has ended since the last refresh; a third of the cost of one."""
        [row] = await self._database.fetch(sql("snapshot"))
        return bool(row["snapshot"] == self._snapshots.latest)

    async def _fetch(self, since: int, counted_since: int) -> _Fetched:
        arguments = from_pg_time(since), limits.MAX_TAIL_RESULTS, from_pg_time(counted_since)
        complete_until = self._database.complete_until()
        sent_at = time.monotonic()
        [row] = await self._database.fetch(
            sql(self._content.statement), *arguments, self._snapshots.latest or None
        )
        received_at = time.monotonic()
        if row["watermark"] is not None:
            self._clock.note(row["watermark"])
        if complete_until is not None:
            return _Fetched(row, complete_until)
        self._clock.measure(row["now"], sent_at, received_at)
        now_s = to_pg_time(row["now"]) / SECOND
        return _Fetched(row, row["now"], now_s - received_at, now_s - sent_at)

    async def _fetch_coverage(self) -> Coverage:
        complete_until = self._database.complete_until()
        [row] = await self._database.fetch(sql("coverage"), self._content.needs_details)
        return Coverage(row, to_pg_time(TEN_MINUTES.start_of(complete_until or row["now"])))

    def _apply(self, results: R, since: int) -> None:
        """Replace the results received from `since` on, and drop those that are in rollups or too many."""
        tail_since = self.coverage.tail_since
        if since > tail_since:
            tail_since = max(tail_since, self.since)
        self._content.replace(since, results)
        event_time = self._content.event_time
        if len(event_time) >= limits.MAX_TAIL_RESULTS:
            tail_since = max(tail_since, int(event_time[-limits.MAX_TAIL_RESULTS]) + 1)
        self.since = tail_since
        self._content.drop_before(tail_since)
