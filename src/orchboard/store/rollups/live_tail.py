"""The tail: results newer than the watermark, in memory, brought up to date before they are used."""

import asyncio
import math
import time
from typing import NamedTuple

import asyncpg
import numpy as np

from orchboard.runtime.tasks import consume_exception
from orchboard.stats import JobType
from orchboard.store.change_tracking.version_counters import (
    EVERYTHING,
    EXTERNAL_WRITES,
    SHARED_READ_S,
    VersionCounters,
    job_type_key,
)
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.pg_time import SECOND, from_pg_time, to_pg_time
from orchboard.store.rollups.buckets import TEN_MINUTES
from orchboard.store.rollups.group_index import GroupIndex
from orchboard.store.rollups.result_columns import Columns, PipelineOccurrences, Results, read_results
from orchboard.store.rollups.sliding_arrays import SlidingArrays
from orchboard.store.rollups.snapshots import SnapshotHistory
from orchboard.store.rollups.window_plan import Coverage
from orchboard.store.sql_files import sql

# How far before the last reading the next begins: results are mostly committed in the order of their receipt times.
_OVERLAP = SECOND // 10

# What is older than that, and not noted as late, was inserted up to a second (migration 11) after its receipt time, in
# a transaction that the last reading did not see. It is found by counting. The rest is for steps of the clock.
_LATE = 2 * SECOND

# A step back of the database's clock that makes a reading begin anew.
_STEP_S = 0.5

# Applied invalidations are kept for ten minutes (upkeep.py): what was last read longer ago than this is forgotten.
_FORGETS_S = 300.0

# The most that is held, some 15 MB; what is older is then aggregated in SQL.
MOST_HELD = 300_000


class OutdatedError(Exception):
    """What is in memory can't be brought up to date: a region has another code or job type, or it is too old."""


class _Reading(NamedTuple):
    """A row of `sync`, and how far the database's clock is ahead of time.monotonic's, at least and at most, in seconds."""

    row: asyncpg.Record
    least_offset_s: float
    most_offset_s: float


class LiveTail:
    """The results from `held_since` on, and what of the earlier ones is summed up.

    held_since -- in microseconds since 2000; coverage.recent_since, or later when there are too many
    generation -- another whenever a reading has found something
    """

    def __init__(
        self, database: Database, directory: GroupIndex, changes: VersionCounters, clock: DatabaseClock
    ) -> None:
        self._database = database
        self._directory = directory
        self._changes = changes
        self._clock = clock
        self._token_now = changes.version_reader(
            EVERYTHING, EXTERNAL_WRITES, *(job_type_key(job_type) for job_type in JobType)
        )
        self._token: object = None
        self._began_at = -math.inf  # of the last reading, unless nobody is to be served by it
        self._read_at = -math.inf
        self._reading: asyncio.Future[None] | None = None
        self._read_until = 0
        self._offset_s = -math.inf
        self._coverage: Coverage | None = None
        self._coverage_text = ""
        self._snapshots = SnapshotHistory()
        self._scored = {
            job_type: SlidingArrays(np.int64, np.int64, *[np.float64] * 3) for job_type in JobType
        }
        self._sightings = SlidingArrays(np.int64, np.int64)
        self._was_unchanged = False  # by the last reading
        self.held_since = 0
        self.generation = 0

    @property
    def coverage(self) -> Coverage:
        """What was summed up at the last reading; there must have been one."""
        assert self._coverage is not None  # noqa: S101 - see above
        return self._coverage

    def scored(self, job_type: JobType, since: int, until: int) -> Columns:
        """Scored results from one moment until before another. Views that hold until the next `await`."""
        return Columns(*self._scored[job_type].arrays()).between(since, until)

    def sightings(self, since: int, until: int) -> PipelineOccurrences:
        """All results, likewise."""
        return PipelineOccurrences(*self._sightings.arrays()).between(since, until)

    async def begin_read(self, came_at: float) -> "asyncio.Task[None] | None":
        """Have it as `read`; or begin to, if all that was committed is mostly at hand, as it was at the last reading.

        What is made of it meanwhile is right if `generation` is the same when the task has ended.
        """
        if self._serves(came_at) or not (self._was_unchanged and self._token == self._token_now()):
            await self.read(came_at)
            return None
        reading = asyncio.create_task(self.read(came_at))
        reading.add_done_callback(consume_exception)
        await asyncio.sleep(0)  # until the statement is written, and
        await asyncio.sleep(0)  # until the loop has sent it
        return reading

    async def read(self, came_at: float) -> None:
        """Have everything that was committed before `came_at`, on time.monotonic's clock: one reading, however many ask.

        On other hosts: everything that was committed SHARED_READ_S before.
        Raises DatabaseUnavailableError, OutdatedError.
        """
        while not self._serves(came_at):
            if self._reading is None:
                await self._read_for_all()
            else:
                await asyncio.shield(self._reading)

    async def _read_for_all(self) -> None:
        """Read once for all waiters (single-flight). They get the same exception; after a cancellation one reads again."""
        reading = self._reading = asyncio.get_running_loop().create_future()
        reading.add_done_callback(consume_exception)
        try:
            await self._read()
        except Exception as error:
            reading.set_exception(error)
            raise
        finally:
            self._reading = None
            if not reading.done():
                reading.set_result(None)

    def look_again(self) -> None:
        """Have nothing that was read so far serve the next reader."""
        self._began_at = -math.inf

    def _serves(self, came_at: float) -> bool:
        return self._began_at >= came_at or (
            came_at < self._began_at + SHARED_READ_S and self._token == self._token_now()
        )

    async def _read(self) -> None:
        began_at, token = time.monotonic(), self._token_now()
        if token == self._token and await self._is_unchanged():
            self._began_at = self._read_at = began_at
            self._was_unchanged = True
            return
        self._was_unchanged = False
        is_first = not self._snapshots.latest
        if not is_first and began_at - self._read_at > _FORGETS_S:
            raise OutdatedError
        coverage, text = self._coverage or await self._fetch_coverage(), self._coverage_text
        if is_first:
            since = counted_since = coverage.recent_since
        else:
            since = self._read_until - _OVERLAP
            counted_since = self._counted_since(since)
        while True:
            reading = await self._fetch(since, counted_since)
            reread_since = since if is_first else self._changed_since(reading, since, counted_since)
            if reading.row["coverage"] != text:
                before, coverage, text = coverage, await self._fetch_coverage(), reading.row["coverage"]
                if coverage.recent_since < before.recent_since:
                    reread_since = min(reread_since, coverage.recent_since)
            if reread_since >= since:
                break
            since = counted_since = reread_since
        results = await read_results(reading.row, self._directory)
        # From here on nothing is awaited: all that was read is taken in, or nothing of it.
        self._coverage, self._coverage_text = coverage, text
        self.generation += 1
        self._take_in(results, since)
        self._read_until = to_pg_time(reading.row["now"])
        self._snapshots.add(reading.row["snapshot"], self._read_until)
        self._offset_s = reading.least_offset_s
        self._began_at = self._read_at = began_at
        self._token = token

    def _counted_since(self, since: int) -> int:
        """From when on to count the results received before `since`; all earlier ones were seen by the last reading.

        A transaction that it did not see stored its results after an earlier reading, at which it was not running yet.
        """
        started = self._snapshots.running_since
        earliest = self.held_since if started is None else max(started - _LATE, self.held_since)
        return min(earliest, since)

    def _changed_since(self, reading: "_Reading", since: int, counted_since: int) -> int:
        """From when on results must be read again, as others changed them or the clock was stepped; else `since`.

        Raises OutdatedError.
        """
        row = reading.row
        if row["regions_changed"]:
            raise OutdatedError
        received = self._sightings.arrays()[0]
        first, last = received.searchsorted((counted_since, since))
        if row["before"] != last - first:
            since = counted_since
        if reading.most_offset_s < self._offset_s - _STEP_S:
            since = min(since, self.held_since)
        if row["changed_since"] is not None:
            since = min(since, max(to_pg_time(row["changed_since"]), self.held_since))
        return since

    async def _is_unchanged(self) -> bool:
        """Whether no transaction that writes has ended since the last reading, at a third of the cost of one."""
        [row] = await self._database.fetch(sql("snapshot"))
        return bool(row["snapshot"] == self._snapshots.latest)

    async def _fetch(self, since: int, counted_since: int) -> "_Reading":
        arguments = (
            from_pg_time(since),
            MOST_HELD,
            from_pg_time(counted_since),
            self._snapshots.latest or None,
        )
        sent_at = time.monotonic()
        [row] = await self._database.fetch(sql("sync"), *arguments)
        received_at = time.monotonic()
        self._clock.measure(row["now"], sent_at, received_at)
        if row["watermark"] is not None:
            self._clock.note(row["watermark"])
        now_s = to_pg_time(row["now"]) / SECOND
        return _Reading(row, now_s - received_at, now_s - sent_at)

    async def _fetch_coverage(self) -> Coverage:
        """What is summed up. Where nothing was lately, results are held from the last ten minutes on."""
        [row] = await self._database.fetch(sql("coverage"))
        return Coverage(row, to_pg_time(TEN_MINUTES.start_of(row["now"])))

    def _take_in(self, results: Results, since: int) -> None:
        """Replace what is held from a moment on, and forget what is summed up or too much."""
        held_since = self.coverage.recent_since
        if since > held_since:
            held_since = max(held_since, self.held_since)
        self._sightings.replace(since, (results.sightings.event_time, results.sightings.seen))
        event_time = self._sightings.arrays()[0]
        if len(event_time) >= MOST_HELD:
            held_since = max(held_since, int(event_time[-MOST_HELD]) + 1)
        self.held_since = held_since
        self._sightings.forget_before(held_since)
        for job_type, growing in self._scored.items():
            growing.replace(since, results.scored[job_type].arrays())
            growing.forget_before(held_since)
