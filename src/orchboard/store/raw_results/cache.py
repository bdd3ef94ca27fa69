"""Cache of the rows of raw_stats, rendered and refreshed before use. Answers that are too large are streamed instead."""

import asyncio
import math
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from orchboard import limits
from orchboard.results.render import is_scored
from orchboard.stats import StatsQuery, Window
from orchboard.store.change_tracking.snapshot_history import listed
from orchboard.store.change_tracking.version_counters import (
    EVERYTHING,
    EXTERNAL_WRITES,
    LATE,
    VersionCounters,
    orchestrator_key,
)
from orchboard.store.postgres.clock import SECOND, DatabaseClock, from_pg_time, to_pg_time
from orchboard.store.postgres.reads import Reads
from orchboard.store.raw_results.pages import Part, RawPages, RawRow, RowStream, read_rows
from orchboard.store.raw_results.searched_name import searched_name
from orchboard.store.sql_files import sql
from orchboard.window import LATEST

# A range larger than this is not cached, as it would evict too many others; it is not tried again for _LARGE_FOR_S.
MAX_RANGE_BYTES = limits.RAW_CACHE_BYTES // 3
_LARGE_FOR_S = 600.0
_MAX_LARGE = 1000

# Each refresh reads this much again. A result that took longer to commit is signalled by our own writer
# (`VersionCounters.mark_late`); those of other programs are found by a periodic count, which takes 10 ms for 20,000.
_OVERLAP = 2 * SECOND

# Windows that are cached: they end about now, and are at most a day or two long.
_RECENT, _LONG = timedelta(hours=1), timedelta(days=2)

# A cached range starts at a multiple of this, as the next window may start a little earlier.
_ROUND = 600 * SECOND

# Size of a row without its text: an int, a bytes and a tuple of six.
_ROW_BYTES = 170

# Size of a range without rows and names: a lock, a list, dictionary entries.
_PART_BYTES = 1000

# Rows that are rendered between two yields to the event loop: about 5 ms.
_ROWS_PER_TURN = 2000

_FOREVER = to_pg_time(LATEST)


class CachedRange:
    """The rows of a part received from `since` on, in the order of receipt; none while `since` is infinite."""

    def __init__(self, part: Part) -> None:
        self.lock = asyncio.Lock()
        self.since: float = math.inf
        self.rows: list[RawRow] = []
        self.size = self._own_size = _PART_BYTES + sum(len(name) for name in part if name is not None)
        self.read_until = 0
        self.began_at = -math.inf
        self.counted_at = -math.inf
        self.versions: object = None
        self.late: object = None
        self.snapshot: str | None = None

    def between(self, since: float, until: float) -> list[RawRow]:
        """The rows received in [since, until]."""
        return _between(self.rows, since, until)

    def replace(self, rows: Sequence[RawRow], since: int) -> None:
        """Replace the rows from `since` on."""
        self.since = min(self.since, since)
        self._set([*self.between(-math.inf, since - 1), *rows])

    def drop_before(self, since: float) -> None:
        """Remove the rows before `since`."""
        self.since = max(self.since, since)
        self._set(self.between(since, math.inf))

    def _set(self, rows: list[RawRow]) -> None:
        self.rows = rows
        self.size = self._own_size + sum(len(row.text) + _ROW_BYTES for row in rows)


class RawResultsCache:
    """Reads rows; refreshes cached ranges before use.

    Raises DatabaseUnavailableError, ClientBusyError, OverloadedError.

    Caches all rows of an orchestrator and job type, or, if they are too many, only the region, pipeline and model of the query.
    As fresh as `LiveTail`: includes every result that this host acknowledged.
    """

    def __init__(
        self,
        database: Reads,
        versions: VersionCounters,
        clock: DatabaseClock,
        pages: RawPages | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._pages = pages or RawPages(database)
        self._versions = versions
        self._read_late = versions.version_reader(LATE)
        self._ranges: OrderedDict[Part, CachedRange] = OrderedDict()
        self._large: OrderedDict[Part, float] = OrderedDict()  # with the time it was found too large

    async def fetch(self, query: StatsQuery) -> list[tuple[str, bytes]] | RowStream:
        """The selected rows, newest first by receipt: the region that each names, and its JSON."""
        assert query.orchestrator is not None  # noqa: S101 - required by the API
        requested_at = time.monotonic()
        whole = Part(query.orchestrator, query.job_type)
        asked = Part(query.orchestrator, query.job_type, query.region, query.pipeline, query.model)
        cached = await self._fetch_cached(whole, query.window, requested_at)
        if cached is None and not asked.is_whole:
            cached = await self._fetch_cached(asked, query.window, requested_at)
        if cached is None:
            since, until = to_pg_time(query.window.since), to_pg_time(self._clock.end_of(query.window))
            found = (await self._pages.fetch(asked, since, until)).rows
            if isinstance(found, RowStream):
                found.scored = query.scored
                return found
            cached = found[::-1]
        return [
            (row.region, row.text)
            for row in reversed(cached)
            if query.region in (None, row.code)
            and query.pipeline in (None, row.pipeline)
            and query.model in (None, row.model)
            and (query.scored is None or query.scored is is_scored(row.text))
        ]

    async def _fetch_cached(self, part: Part, window: Window, requested_at: float) -> list[RawRow] | None:
        """The rows of a part in a window; None if they are not cached."""
        since = to_pg_time(window.since)
        cached = self._ranges.get(part) or CachedRange(part)
        async with cached.lock:
            cached_since = cached.since
            if since < cached_since:
                is_due = _is_recent(window) and self._may_be_cached(part)
            else:
                is_due = not self._serves(part, cached, requested_at)
            if is_due and not await self._refresh(part, cached, since):
                self._note_large(part)
                if since >= cached_since:
                    self._ranges.pop(part, None)
                return None
            until = to_pg_time(self._clock.end_of(window))
            rows = cached.between(since, until) if since >= cached.since else None
            if is_due:
                self._add(part, cached, since, cached_since)
            return rows

    def _serves(self, part: Part, cached: CachedRange, requested_at: float) -> bool:
        return cached.began_at >= requested_at or (
            requested_at < cached.began_at + limits.SHARED_READ_S
            and cached.versions == self._versions_of(part)
        )

    def _versions_of(self, part: Part) -> object:
        return self._versions.version_reader(
            EVERYTHING, EXTERNAL_WRITES, orchestrator_key(part.orchestrator)
        )()

    async def _refresh(self, part: Part, cached: CachedRange, since: int) -> bool:
        """Include everything committed before this call, received from `since` on; False if that is too large to cache."""
        began_at, versions, late = time.monotonic(), self._versions_of(part), self._read_late()
        complete_until = self._database.complete_until()
        if since < cached.since or began_at - cached.began_at > limits.RAW_CACHE_IDLE_S:
            since = int(min(since // _ROUND * _ROUND, cached.since))
            now, snapshot, rows = await self._pages.fetch(part, since, _FOREVER, max_bytes=MAX_RANGE_BYTES)
            if isinstance(rows, RowStream):
                return False
            cached.replace(rows[::-1], since)
            cached.counted_at = began_at
        else:
            now, snapshot = await self._fetch_new(part, cached, began_at, is_late=late != cached.late)
        if complete_until is not None:
            now = to_pg_time(complete_until)
        self._clock.note(from_pg_time(now))
        cached.read_until, cached.snapshot = now, listed(snapshot)
        cached.began_at, cached.versions, cached.late = began_at, versions, late
        return True

    async def _fetch_new(
        self, part: Part, cached: CachedRange, began_at: float, *, is_late: bool
    ) -> tuple[int, str]:
        """Fetch the rows received since the last refresh, or all rows if one was changed or inserted late.

        Returns the database's clock and its snapshot.
        """
        reread: float = cached.since if is_late else cached.read_until - _OVERLAP
        counted_since = reread
        if began_at - cached.counted_at > limits.RAW_COUNT_INTERVAL_S:
            cached.counted_at, counted_since = began_at, min(cached.since, reread)
        counted = len(cached.between(counted_since, reread - 1))
        first, rows = await self._fetch(part, cached, int(reread), int(counted_since))
        if first["before"] != counted or (first["is_changed"] and reread > cached.since):
            reread = cached.since
            first, rows = await self._fetch(part, cached, int(reread), int(reread))
        cached.replace(rows, int(reread))
        return to_pg_time(first["now"]), first["snapshot"]

    async def _fetch(
        self, part: Part, cached: CachedRange, since: int, counted_since: int
    ) -> tuple[asyncpg.Record, list[RawRow]]:
        """Rows received from `since` on. The first record also has the count of earlier rows and whether any was changed."""
        arguments: tuple[object, ...] = (
            searched_name(part.orchestrator),
            from_pg_time(since),
            LATEST,
            part.job_type,
            from_pg_time(counted_since),
        )
        if part.is_whole:
            found = await self._database.fetch(sql("raw_stats"), *arguments, cached.snapshot)
        else:
            found = await self._database.fetch(
                sql("raw_stats_part"), *arguments, part.region, part.pipeline, part.model, cached.snapshot
            )
        first = found[0]
        rows: list[RawRow] = []
        if first["event_time"] is not None:
            names: dict[str, str] = {}
            while found:
                rows += read_rows(found[:_ROWS_PER_TURN], None, part.orchestrator, names)
                del found[:_ROWS_PER_TURN]  # 50,000 records are 30 MB: few of them should exist in both forms
                await asyncio.sleep(0)
        return first, rows

    def _add(self, part: Part, cached: CachedRange, since: int, cached_since: float) -> None:
        """Cache a range as the most recently used, unless it is too large; evicts others.

        since -- the start of the query's window: a sliding window leaves earlier rows behind
        cached_since -- the start of the range before: if the window is too large, the range shrinks back to it
        """
        self._ranges.pop(part, None)
        if cached.size > MAX_RANGE_BYTES:
            cached.drop_before(since)
        if cached.size > MAX_RANGE_BYTES:
            self._note_large(part)
            cached.drop_before(cached_since)
        if cached.size <= MAX_RANGE_BYTES and cached.since < math.inf:
            self._ranges[part] = cached
        while sum(each.size for each in self._ranges.values()) > limits.RAW_CACHE_BYTES:
            self._ranges.popitem(last=False)

    def _may_be_cached(self, part: Part) -> bool:
        """False if the part was found too large less than _LARGE_FOR_S ago."""
        if time.monotonic() - self._large.get(part, -math.inf) < _LARGE_FOR_S:
            return False
        self._large.pop(part, None)
        return True

    def _note_large(self, part: Part) -> None:
        self._large[part] = time.monotonic()
        while len(self._large) > _MAX_LARGE:
            self._large.popitem(last=False)


def _event_time(row: RawRow) -> int:
    return row.event_time


def _between(rows: list[RawRow], since: float, until: float) -> list[RawRow]:
    first, last = bisect_left(rows, since, key=_event_time), bisect_right(rows, until, key=_event_time)
    return rows[first:last]


def _is_recent(window: Window) -> bool:
    """Whether a window is worth caching: it ends about now and is not long."""
    now = datetime.now(UTC)
    return window.until > now - _RECENT and window.since > now - _LONG
