"""The rows of raw_stats: those of the orchestrators that were asked about last stay in memory, ready to go out."""

import asyncio
import math
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeAlias

import asyncpg

from orchboard.stats import JobType, StatsQuery, Window
from orchboard.store.changes import ELSEWHERE, EVERYTHING, LATE, SERVES_S, Changes, orchestrator_slot
from orchboard.store.database import Database
from orchboard.store.moments import SECOND, to_datetime, to_moment
from orchboard.store.queries import sql
from orchboard.stored import StoredPayload, read_stored
from orchboard.window import LATEST

MAX_BYTES = 4 * 1024 * 1024

# More than this is not kept: it would push out everybody else. For so long only what is asked for is then read.
_LARGEST_BYTES = MAX_BYTES // 3
_LARGE_FOR_S = 600.0
_MOST_LARGE = 1000

# A result that took longer than this to commit is not among those that are read again each time. Our own writer tells of
# it (`Changes.note_late`); those of others are found by counting all, every so often, which reads each of them.
_OVERLAP = 2 * SECOND
_COUNT_EVERY_S = 0.5

# Windows that are worth it: they end about now, and are not longer than a day or two.
_RECENT, _LONG = timedelta(hours=1), timedelta(days=2)

# What is kept begins a little earlier than was asked, as the next question about it may.
_ROUND = 600 * SECOND

# What a row weighs beside its text: an int, a bytes, and a tuple of six. With the shortest text there is it is more.
_ROW_BYTES = 170
_LEAST_ROW_BYTES = _ROW_BYTES + 200

# How many stored results are read before others have their turn: some 5 ms.
_READ_AT_ONCE = 2000

_FOREVER = to_moment(LATEST)

Key: TypeAlias = tuple[str, JobType]


class RawRow(NamedTuple):
    """One result, ready to go out. event_time -- in microseconds since 2000; region -- as its tester wrote it"""

    event_time: int
    code: str
    pipeline: str
    model: str
    region: str
    text: bytes


class _Held:
    """The rows of one orchestrator and job type from `since` on, in the order of receipt; none while that is endless."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.since: float = math.inf
        self.rows: list[RawRow] = []
        self.size = 0
        self.read_until = 0
        self.began_at = -math.inf
        self.counted_at = -math.inf
        self.token: object = None
        self.late: object = None

    def between(self, since: float, until: float) -> list[RawRow]:
        """The rows received from one moment to another, both included."""
        return _between(self.rows, since, until)

    def take(self, rows: Sequence[RawRow], since: int) -> None:
        """Have other rows from a moment on."""
        self.rows = [*self.between(-math.inf, since - 1), *rows]
        self.since = min(self.since, since)
        self.size = sum(len(row.text) + _ROW_BYTES for row in self.rows)


class RawRows:
    """Reads rows; what is held is brought up to date before it is used. Raises DatabaseUnavailableError.

    As fresh as `Recent`: everything that this host acknowledged is there.
    """

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes
        self._late_now = changes.token_of(LATE)
        self._held: OrderedDict[Key, _Held] = OrderedDict()
        self._large: OrderedDict[Key, float] = OrderedDict()  # since when

    async def fetch(self, query: StatsQuery) -> list[tuple[str, bytes]]:
        """The rows that are asked for, newest first by receipt: the region each names, and its JSON."""
        assert query.orchestrator is not None  # noqa: S101 - the API asks for one
        came_at = time.monotonic()
        rows = await self._fetch_window((query.orchestrator, query.job_type), query, came_at)
        return [
            (row.region, row.text)
            for row in reversed(rows)
            if query.region in (None, row.code)
            and query.pipeline in (None, row.pipeline)
            and query.model in (None, row.model)
        ]

    async def _fetch_window(self, key: Key, query: StatsQuery, came_at: float) -> list[RawRow]:
        """The rows of the window that is asked for; maybe with others of the orchestrator among them."""
        since, until = to_moment(query.window.since), to_moment(query.window.until)
        held = self._held.get(key) or _Held()
        async with held.lock:
            if since < held.since:
                is_due = _is_recent(query.window) and await self._can_be_held(key, since)
            else:
                is_due = not self._serves(key, held, came_at)
            if is_due:
                await self._bring_up_to_date(key, held, since)
                self._keep(key, held)
            if since >= held.since:
                return held.between(since, until)
            _, _, rows = await self._fetch(key, since, until, narrow=query)
            return rows

    def _serves(self, key: Key, held: _Held, came_at: float) -> bool:
        return held.began_at >= came_at or (
            came_at < held.began_at + SERVES_S and held.token == self._token_of(key)
        )

    def _token_of(self, key: Key) -> object:
        return self._changes.token_of(EVERYTHING, ELSEWHERE, orchestrator_slot(key[0]))()

    async def _bring_up_to_date(self, key: Key, held: _Held, since: int) -> None:
        began_at, token, late = time.monotonic(), self._token_of(key), self._late_now()
        reread: float = held.read_until - _OVERLAP
        if since < held.since or late != held.late:
            reread = min(held.since, since // _ROUND * _ROUND)
        counted_since = reread
        if began_at - held.counted_at > _COUNT_EVERY_S:
            held.counted_at, counted_since = began_at, min(held.since, reread)
        counted = len(held.between(counted_since, reread - 1))
        before, now, rows = await self._fetch(key, int(reread), _FOREVER, counted_since=int(counted_since))
        if before != counted:
            reread = held.since
            _, now, rows = await self._fetch(key, int(reread), _FOREVER)
        held.take(rows, int(reread))
        held.read_until, held.began_at, held.token, held.late = now, began_at, token, late

    async def _fetch(
        self,
        key: Key,
        since: int,
        until: int,
        *,
        counted_since: int | None = None,
        narrow: StatsQuery | None = None,
    ) -> tuple[int, int, list[RawRow]]:
        """How many rows there are between two moments before, the database's clock, and the rows of a window.

        narrow -- only those of its region, pipeline and model
        """
        orchestrator, job_type = key
        only = (None, None, None) if narrow is None else (narrow.region, narrow.pipeline, narrow.model)
        found = await self._database.fetch(
            sql("raw_stats"),
            orchestrator,
            to_datetime(since),
            to_datetime(until),
            job_type,
            to_datetime(since if counted_since is None else counted_since),
            *only,
        )
        before, now = found[0]["before"], to_moment(found[0]["now"])
        rows: list[RawRow] = []
        if found[0]["event_time"] is not None:
            names: dict[str, str] = {}
            while found:
                rows += _read(found[:_READ_AT_ONCE], orchestrator, names)
                del found[:_READ_AT_ONCE]  # 50,000 are 30 MB: as few of them as can be are there twice
                await asyncio.sleep(0)
        return before, now, rows

    def _keep(self, key: Key, held: _Held) -> None:
        """Keep it as the one asked for last, unless it is too large; forget others for it."""
        self._held.pop(key, None)
        if held.size <= _LARGEST_BYTES:
            self._held[key] = held
        else:
            self._note_large(key)
        while sum(each.size for each in self._held.values()) > MAX_BYTES:
            self._held.popitem(last=False)

    async def _can_be_held(self, key: Key, since: int) -> bool:
        """Whether the rows from a moment on may be few enough; if not, it is not counted again for a while."""
        if time.monotonic() - self._large.get(key, -math.inf) < _LARGE_FOR_S:
            return False
        self._large.pop(key, None)
        number, _, _ = await self._fetch(key, _FOREVER, _FOREVER, counted_since=since)
        if number * _LEAST_ROW_BYTES <= _LARGEST_BYTES:
            return True
        self._note_large(key)
        return False

    def _note_large(self, key: Key) -> None:
        self._large[key] = time.monotonic()
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


def _read(found: Sequence[asyncpg.Record], orchestrator: str, names: dict[str, str]) -> Iterator[RawRow]:
    """The rows; names -- the texts that many of them share, so that each is there once."""
    stored = [StoredPayload(row["region"], row["payload"]) for row in found]
    for row, (region, text) in zip(found, read_stored(stored, orchestrator=orchestrator), strict=True):
        code, pipeline, model, region = (
            names.setdefault(name, name) for name in (row["region"], row["pipeline"], row["model"], region)
        )
        event_time = int.from_bytes(row["event_time"], "big", signed=True)
        yield RawRow(event_time, code, pipeline, model, region, text)
