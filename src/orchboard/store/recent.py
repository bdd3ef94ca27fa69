"""The newest results, in memory: those that are not summed up yet, brought up to date before they are used."""

import asyncio
import math
import time

import asyncpg
import numpy as np

from orchboard.stats import JobType
from orchboard.store.changes import ELSEWHERE, EVERYTHING, LATE, SERVES_S, Changes, job_type_slot
from orchboard.store.columns import Columns, Results, Sightings, read_results
from orchboard.store.coverage import Coverage
from orchboard.store.database import Database
from orchboard.store.growing import Growing
from orchboard.store.moments import SECOND, to_datetime, to_moment
from orchboard.store.queries import sql
from orchboard.store.series import SeriesDirectory
from orchboard.store.spans import TEN_MINUTES
from orchboard.tasks import be_seen

# How far behind the last reading the next begins. A result's receipt time is when its statement began: one that took
# longer than this to commit is not among the newest, and found by counting those before.
_OVERLAP = SECOND // 10

# How many results before a reading are counted, so that what came late, and what was removed, is found: 0.2 ms. Beyond
# these, our own writer tells of them (`Changes.note_late`), and those of others are found when they are summed up.
_COUNTED = 2_000

# The most that is held, some 15 MB; what is older is then answered as what is unsummed.
MOST_HELD = 300_000


class Recent:
    """The results from `held_since` on, and what of the earlier ones is summed up.

    held_since -- in microseconds since 2000; coverage.recent_since, or later when there are too many
    generation -- another whenever a reading has found something
    """

    def __init__(self, database: Database, directory: SeriesDirectory, changes: Changes) -> None:
        self._database = database
        self._directory = directory
        self._changes = changes
        self._token_now = changes.token_of(
            EVERYTHING, ELSEWHERE, *(job_type_slot(job_type) for job_type in JobType)
        )
        self._late_now = changes.token_of(LATE)
        self._token: object = None
        self._late: object = None
        self._began_at = -math.inf
        self._reading: asyncio.Future[None] | None = None
        self._read_until = 0
        self._coverage: Coverage | None = None
        self._coverage_text = ""
        self._snapshot = ""
        self._scored = {job_type: Growing(np.int64, np.int64, *[np.float64] * 3) for job_type in JobType}
        self._sightings = Growing(np.int64, np.int64)
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

    def sightings(self, since: int, until: int) -> Sightings:
        """All results, likewise."""
        return Sightings(*self._sightings.arrays()).between(since, until)

    async def begin_read(self, came_at: float) -> "asyncio.Task[None] | None":
        """Have it as `read`; or begin to, if all that was committed is mostly at hand, as it was at the last reading.

        What is made of it meanwhile is right if `generation` is the same when the task has ended.
        """
        if self._serves(came_at) or not (self._was_unchanged and self._token == self._token_now()):
            await self.read(came_at)
            return None
        reading = asyncio.create_task(self.read(came_at))
        reading.add_done_callback(be_seen)
        await asyncio.sleep(0)  # until the statement is written, and
        await asyncio.sleep(0)  # until the loop has sent it
        return reading

    async def read(self, came_at: float) -> None:
        """Have everything that was committed before `came_at`, on time.monotonic's clock: one reading, however many ask.

        On other hosts: everything that was committed SERVES_S before. Raises DatabaseUnavailableError.
        """
        while not self._serves(came_at):
            if self._reading is None:
                await self._read_for_all()
            else:
                await asyncio.shield(self._reading)

    async def _read_for_all(self) -> None:
        """One reading. Who waits for it shares its failure; when it is only broken off, he reads himself."""
        reading = self._reading = asyncio.get_running_loop().create_future()
        reading.add_done_callback(be_seen)
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
            came_at < self._began_at + SERVES_S and self._token == self._token_now()
        )

    async def _read(self) -> None:
        began_at, token, late = time.monotonic(), self._token_now(), self._late_now()
        if token == self._token and await self._is_unchanged():
            self._began_at = began_at
            self._was_unchanged = True
            return
        self._was_unchanged = False
        coverage = before = self._coverage or await self._fetch_coverage()
        earlier = self._sightings.arrays()[0]
        if late == self._late:
            since = self._read_until - _OVERLAP
            earlier = earlier[: earlier.searchsorted(since)]
            counted_since = (
                int(earlier[-_COUNTED]) if len(earlier) > _COUNTED else min(self.held_since, since)
            )
        else:  # the first reading, too
            since = counted_since = before.recent_since
            earlier = earlier[:0]
        row = await self._fetch(since, counted_since)
        reread_since = since
        if row["before"] != len(earlier) - earlier.searchsorted(counted_since):
            reread_since = counted_since
        text = row["coverage"]
        if text != self._coverage_text:
            coverage = await self._fetch_coverage()
            if coverage.recent_since < before.recent_since or coverage.is_rewritten(before):
                reread_since = coverage.recent_since
        if reread_since < since:
            since = reread_since
            row = await self._fetch(since, since)
        results = await read_results(row, self._directory)
        # From here on nothing is waited for: what was read holds together, or nothing of it was taken in.
        self._coverage, self._coverage_text = coverage, text
        self.generation += 1
        self._take_in(results, since)
        self._read_until, self._snapshot = to_moment(row["now"]), row["snapshot"]
        self._began_at, self._token, self._late = began_at, token, late

    async def _is_unchanged(self) -> bool:
        """Whether nobody at all has written since the last reading, at a third of what reading costs."""
        [row] = await self._database.fetch(sql("snapshot"))
        return bool(row["snapshot"] == self._snapshot)

    async def _fetch(self, since: int, counted_since: int) -> asyncpg.Record:
        moments = to_datetime(since), MOST_HELD, to_datetime(counted_since)
        [row] = await self._database.fetch(sql("sync"), *moments)
        return row

    async def _fetch_coverage(self) -> Coverage:
        """What is summed up. Where nothing was lately, results are held from the last ten minutes on."""
        [row] = await self._database.fetch(sql("coverage"))
        return Coverage(row, to_moment(TEN_MINUTES.start_of(row["now"])))

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
