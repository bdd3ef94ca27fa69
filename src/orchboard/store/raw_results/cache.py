"""The rows of raw_stats: those that were asked for last stay in memory, ready to go out; too many are streamed."""

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
from orchboard.store.change_tracking.version_counters import (
    EVERYTHING,
    EXTERNAL_WRITES,
    LATE,
    SHARED_READ_S,
    VersionCounters,
    orchestrator_key,
)
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.pg_time import SECOND, from_pg_time, to_pg_time
from orchboard.store.raw_results.pages import Part, RawPages, RawRow, RowStream, read_rows
from orchboard.store.sql_files import sql
from orchboard.window import LATEST

# More than this is not kept: it would push out everybody else. For so long it is not tried again.
_LARGEST_BYTES = limits.RAW_CACHE_BYTES // 3
_LARGE_FOR_S = 600.0
_MOST_LARGE = 1000

# A result that took longer than this to commit is not among those that are read again each time. Our own writer tells of
# it (`VersionCounters.mark_late`); those of others are found by counting all, every so often: 10 ms for 20,000.
_OVERLAP = 2 * SECOND

# Windows that are worth it: they end about now, and are not longer than a day or two.
_RECENT, _LONG = timedelta(hours=1), timedelta(days=2)

# What is kept begins a little earlier than was asked, as the next question about it may.
_ROUND = 600 * SECOND

# What a row weighs beside its text: an int, a bytes, and a tuple of six.
_ROW_BYTES = 170

# What a part weighs without its rows and its names: a lock, a list, places in dictionaries.
_PART_BYTES = 1000


# How many stored results are read before others have their turn: some 5 ms.
_READ_AT_ONCE = 2000

_FOREVER = to_pg_time(LATEST)


class _Held:
    """The rows of a part from `since` on, in the order of receipt; none while that is endless."""

    def __init__(self, part: Part) -> None:
        self.lock = asyncio.Lock()
        self.since: float = math.inf
        self.rows: list[RawRow] = []
        self.size = self._own_size = _PART_BYTES + sum(len(name) for name in part if name is not None)
        self.read_until = 0
        self.began_at = -math.inf
        self.counted_at = -math.inf
        self.token: object = None
        self.late: object = None
        self.snapshot: str | None = None

    def between(self, since: float, until: float) -> list[RawRow]:
        """The rows received from one moment to another, both included."""
        return _between(self.rows, since, until)

    def take(self, rows: Sequence[RawRow], since: int) -> None:
        """Have other rows from a moment on."""
        self.since = min(self.since, since)
        self._set([*self.between(-math.inf, since - 1), *rows])

    def forget_before(self, since: float) -> None:
        """Have those from a moment on only."""
        self.since = max(self.since, since)
        self._set(self.between(since, math.inf))

    def _set(self, rows: list[RawRow]) -> None:
        self.rows = rows
        self.size = self._own_size + sum(len(row.text) + _ROW_BYTES for row in rows)


class RawResultsCache:
    """Reads rows; what is held is brought up to date before it is used.

    Raises DatabaseUnavailableError, ClientBusyError, OverloadedError.

    All rows of an orchestrator are held, whichever of them was asked for; where they are too many, the part that was.
    As fresh as `LiveTail`: everything that this host acknowledged is there.
    """

    def __init__(
        self,
        database: Database,
        changes: VersionCounters,
        clock: DatabaseClock,
        pages: RawPages | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._pages = pages or RawPages(database)
        self._changes = changes
        self._late_now = changes.version_reader(LATE)
        self._held: OrderedDict[Part, _Held] = OrderedDict()
        self._large: OrderedDict[Part, float] = OrderedDict()  # since when

    async def fetch(self, query: StatsQuery) -> list[tuple[str, bytes]] | RowStream:
        """The rows that are asked for, newest first by receipt: the region each names, and its JSON."""
        assert query.orchestrator is not None  # noqa: S101 - the API asks for one
        came_at = time.monotonic()
        whole = Part(query.orchestrator, query.job_type)
        asked = Part(query.orchestrator, query.job_type, query.region, query.pipeline, query.model)
        held = await self._fetch_held(whole, query.window, came_at)
        if held is None and not asked.is_whole:
            held = await self._fetch_held(asked, query.window, came_at)
        if held is None:
            since, until = to_pg_time(query.window.since), to_pg_time(self._clock.end_of(query.window))
            found = (await self._pages.fetch(asked, since, until)).rows
            if isinstance(found, RowStream):
                found.scored = query.scored
                return found
            held = found[::-1]
        return [
            (row.region, row.text)
            for row in reversed(held)
            if query.region in (None, row.code)
            and query.pipeline in (None, row.pipeline)
            and query.model in (None, row.model)
            and (query.scored is None or query.scored is is_scored(row.text))
        ]

    async def _fetch_held(self, part: Part, window: Window, came_at: float) -> list[RawRow] | None:
        """The rows of a part in a window; None when they are not held, and not to be."""
        since = to_pg_time(window.since)
        held = self._held.get(part) or _Held(part)
        async with held.lock:
            held_since = held.since
            if since < held_since:
                is_due = _is_recent(window) and self._may_be_held(part)
            else:
                is_due = not self._serves(part, held, came_at)
            if is_due and not await self._bring_up_to_date(part, held, since):
                self._note_large(part)
                if since >= held_since:
                    self._held.pop(part, None)
                return None
            until = to_pg_time(self._clock.end_of(window))
            rows = held.between(since, until) if since >= held.since else None
            if is_due:
                self._keep(part, held, since, held_since)
            return rows

    def _serves(self, part: Part, held: _Held, came_at: float) -> bool:
        return held.began_at >= came_at or (
            came_at < held.began_at + SHARED_READ_S and held.token == self._token_of(part)
        )

    def _token_of(self, part: Part) -> object:
        return self._changes.version_reader(
            EVERYTHING, EXTERNAL_WRITES, orchestrator_key(part.orchestrator)
        )()

    async def _bring_up_to_date(self, part: Part, held: _Held, since: int) -> bool:
        """Have what was committed by now, from `since` on at least. False when that is too much to be held."""
        began_at, token, late = time.monotonic(), self._token_of(part), self._late_now()
        if since < held.since or began_at - held.began_at > limits.RAW_CACHE_IDLE_S:
            since = int(min(since // _ROUND * _ROUND, held.since))
            now, snapshot, rows = await self._pages.fetch(part, since, _FOREVER, most_bytes=_LARGEST_BYTES)
            if isinstance(rows, RowStream):
                return False
            held.take(rows[::-1], since)
            held.counted_at = began_at
        else:
            now, snapshot = await self._read_again(part, held, began_at, is_late=late != held.late)
        self._clock.note(from_pg_time(now))
        held.read_until, held.snapshot = now, snapshot
        held.began_at, held.token, held.late = began_at, token, late
        return True

    async def _read_again(
        self, part: Part, held: _Held, began_at: float, *, is_late: bool
    ) -> tuple[int, str]:
        """Read what came since the last reading, and all when something was changed or came late.

        The database's clock, and what it saw.
        """
        reread: float = held.since if is_late else held.read_until - _OVERLAP
        counted_since = reread
        if began_at - held.counted_at > limits.RAW_COUNT_INTERVAL_S:
            held.counted_at, counted_since = began_at, min(held.since, reread)
        counted = len(held.between(counted_since, reread - 1))
        first, rows = await self._fetch(part, held, int(reread), int(counted_since))
        if first["before"] != counted or (first["is_changed"] and reread > held.since):
            reread = held.since
            first, rows = await self._fetch(part, held, int(reread), int(reread))
        held.take(rows, int(reread))
        return to_pg_time(first["now"]), first["snapshot"]

    async def _fetch(
        self, part: Part, held: _Held, since: int, counted_since: int
    ) -> tuple[asyncpg.Record, list[RawRow]]:
        """The rows from a moment on; the first record also says what was counted, and what changed, before that."""
        arguments: tuple[object, ...] = (
            part.orchestrator,
            from_pg_time(since),
            LATEST,
            part.job_type,
            from_pg_time(counted_since),
        )
        if part.is_whole:
            found = await self._database.fetch(sql("raw_stats"), *arguments, held.snapshot)
        else:
            found = await self._database.fetch(
                sql("raw_stats_part"), *arguments, part.region, part.pipeline, part.model, held.snapshot
            )
        first = found[0]
        rows: list[RawRow] = []
        if first["event_time"] is not None:
            names: dict[str, str] = {}
            while found:
                rows += read_rows(found[:_READ_AT_ONCE], None, part.orchestrator, names)
                del found[:_READ_AT_ONCE]  # 50,000 are 30 MB: as few of them as can be are there twice
                await asyncio.sleep(0)
        return first, rows

    def _keep(self, part: Part, held: _Held, since: int, held_since: float) -> None:
        """Keep it as the one asked for last, unless it is too large; forget others for it.

        since -- from where on it was asked for: a window that moves on has left rows behind
        held_since -- from where on it was held before: those are kept even when all that was asked for is too much
        """
        self._held.pop(part, None)
        if held.size > _LARGEST_BYTES:
            held.forget_before(since)
        if held.size > _LARGEST_BYTES:
            self._note_large(part)
            held.forget_before(held_since)
        if held.size <= _LARGEST_BYTES and held.since < math.inf:
            self._held[part] = held
        while sum(each.size for each in self._held.values()) > limits.RAW_CACHE_BYTES:
            self._held.popitem(last=False)

    def _may_be_held(self, part: Part) -> bool:
        """Whether its rows may be few enough; if they were not, it is not tried again for a while."""
        if time.monotonic() - self._large.get(part, -math.inf) < _LARGE_FOR_S:
            return False
        self._large.pop(part, None)
        return True

    def _note_large(self, part: Part) -> None:
        self._large[part] = time.monotonic()
        while len(self._large) > _MOST_LARGE:
            self._large.popitem(last=False)


def _event_time(row: RawRow) -> int:
    return row.event_time


def _between(rows: list[RawRow], since: float, until: float) -> list[RawRow]:
    first, last = bisect_left(rows, since, key=_event_time), bisect_right(rows, until, key=_event_time)
    return rows[first:last]


def _is_recent(window: Window) -> bool:
    """Whether it is worth while to hold what was received since: somebody looks at the newest results."""
    now = datetime.now(UTC)
    return window.until > now - _RECENT and window.since > now - _LONG
