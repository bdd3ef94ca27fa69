"""The rows of raw_stats as the database has them: read in pages, so that memory does not grow with the answer."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg
from msgspec import Struct

from orchboard.results.render import StoredPayload, is_scored, read_stored
from orchboard.stats import JobType
from orchboard.store.postgres.admission import UNBOUNDED, Admission
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.pg_time import from_pg_time, to_pg_time
from orchboard.store.sql_files import sql

# An answer that is larger is streamed: neither held nor cached.
STREAMED_BYTES = 1024 * 1024

# No row of JSON is shorter.
LEAST_ROW_BYTES = 370

# A page of a stream: at most so many bytes as they are stored, in about as many rows. Measured on 28 MB: pages of 64 kB
# took twice the time, of 1 MB a tenth less.
_PAGE_BYTES = 256 * 1024
_FIRST_ROWS, _MOST_PAGE_ROWS = 100, 1000

# Pages that are read at once, for all streams of a process.
_READ_AT_ONCE = 1
_LONGEST_PAUSE_S = 0.1

# What an answer up to STREAMED_BYTES costs, and counting the rows of any, in rows: see Admission.
_ANSWER_ROWS = 12_000

_LOWEST_ID = -(2**63)


class Part(NamedTuple):
    """Whose rows: those of one orchestrator and job type; in part, of one region, or of one pipeline and model."""

    orchestrator: str
    job_type: JobType
    region: str | None = None
    pipeline: str | None = None
    model: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the orchestrator and job type."""
        return (self.region, self.pipeline, self.model) == (None, None, None)


class RawRow(NamedTuple):
    """One result, ready to go out. event_time -- in microseconds since 2000; region -- as its tester wrote it"""

    event_time: int
    code: str
    pipeline: str
    model: str
    region: str
    text: bytes


class _Page(Struct):
    """Rows, newest first, and the key that the next page begins below; None: there is no next page."""

    rows: list[RawRow]
    below: tuple[int, int] | None


class RowStream:
    """The rows of a part between two moments, too many to hold.

    They are read page by page below the last key, each page in a statement of its own: no connection, transaction or
    snapshot waits for a slow client. Rows are never changed and their keys only grow, so the stream holds every result
    that was committed before it began and is not removed before its end, once each; those that come meanwhile may be
    in it.

    regions -- id and code of each region that has rows
    scored -- only rows that count in scores, only those that don't, or (None) all
    """

    def __init__(
        self, pages: "RawPages", part: Part, since: int, until: int, regions: Sequence[tuple[int, str]]
    ) -> None:
        self._pages = pages
        self._part = part
        self.scored: bool | None = None
        self._since = since
        self._until = until
        self._regions = sorted(regions, key=lambda region: region[1])

    async def by_region(self) -> AsyncGenerator[tuple[str, list[bytes]], None]:
        """Region codes, sorted, each with some of its rows in JSON, newest first; one code comes as often as it has pages.

        Holds one of the places for streams. Raises ClientBusyError, OverloadedError before the first rows, and
        DatabaseUnavailableError.
        """
        async with self._pages.streams.admitted(1):
            for number, code in self._regions:
                below: tuple[int, int] | None = (self._until + 1, _LOWEST_ID)
                rows = _FIRST_ROWS
                while below is not None:
                    async with self._pages.turn():
                        page = await self._pages.read_page(
                            self._part, self._since, below, {number: code}, rows=rows, size=_PAGE_BYTES
                        )
                    below = page.below
                    rows = min(max(2, len(page.rows) * 5 // 4 + 1), _MOST_PAGE_ROWS)
                    texts = [
                        row.text
                        for row in page.rows
                        if self.scored is None or self.scored is is_scored(row.text)
                    ]
                    del page  # whoever takes the texts may wait long for a client
                    if texts:
                        yield code, texts


class Found(NamedTuple):
    """What raw_stats has to give: rows, newest first, or a stream of them.

    now, snapshot -- the database's clock, and what it saw, before they were read; the first in microseconds since 2000
    """

    now: int
    snapshot: str
    rows: list[RawRow] | RowStream


class RawPages:
    """Reads rows that are not held. Raises DatabaseUnavailableError, ClientBusyError, OverloadedError.

    admission -- of expensive questions; streams -- of streams, each at cost 1
    """

    def __init__(
        self, database: Database, admission: Admission = UNBOUNDED, streams: Admission = UNBOUNDED
    ) -> None:
        self._database = database
        self._admission = admission
        self._turns = asyncio.Semaphore(_READ_AT_ONCE)
        self.streams = streams

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Read a page of a stream within it. Several streams together leave half of the time to others."""
        async with self._turns:
            began_at = time.monotonic()
            yield
            if self.streams.in_progress > 1:
                await asyncio.sleep(min(time.monotonic() - began_at, _LONGEST_PAUSE_S))

    async def fetch(self, part: Part, since: int, until: int, *, most_bytes: int = STREAMED_BYTES) -> Found:
        """The rows between two moments, both included; a stream of them when they come to over so many bytes."""
        async with self._admission.admitted(_ANSWER_ROWS):
            counts = await self._database.fetch(
                sql("raw_counts"),
                part.orchestrator,
                from_pg_time(since),
                from_pg_time(until),
                part.job_type,
                part.region,
                part.pipeline,
                part.model,
            )
            now, snapshot = to_pg_time(counts[0]["now"]), counts[0]["snapshot"]
            codes = {row["id"]: row["name"] for row in counts if row["id"] is not None}
            most_rows = most_bytes // LEAST_ROW_BYTES
            if sum(row["number"] or 0 for row in counts) <= most_rows:
                page = await self.read_page(
                    part, since, (until + 1, _LOWEST_ID), codes, rows=most_rows + 1, size=most_bytes
                )
                if page.below is None and sum(len(row.text) for row in page.rows) <= most_bytes:
                    return Found(now, snapshot, page.rows)
        return Found(now, snapshot, RowStream(self, part, since, until, list(codes.items())))

    async def read_page(
        self,
        part: Part,
        since: int,
        below: tuple[int, int],
        codes: dict[int, str],
        *,
        rows: int,
        size: int,
    ) -> _Page:
        """At most so many rows, and so many stored bytes, of regions given by id.

        below -- event_time and id of the row before the first
        """
        if not codes:
            return _Page([], None)
        found = await self._database.fetch(
            sql("raw_page"),
            part.orchestrator,
            from_pg_time(since),
            from_pg_time(below[0]),
            below[1],
            list(codes),
            part.pipeline,
            part.model,
            rows,
            size,
        )
        last = None
        if found and (len(found) < found[0]["number"] or len(found) == rows):
            last = _event_time(found[-1]), found[-1]["id"]
        return _Page(list(read_rows(found, codes, part.orchestrator, {})), last)


def read_rows(
    found: Sequence[asyncpg.Record], codes: dict[int, str] | None, orchestrator: str, names: dict[str, str]
) -> Iterator[RawRow]:
    """The rows of records; names -- the texts that many of them share, so that each is there once.

    codes -- region codes by id; None: the records have them as `region`
    """
    regions = [row["region"] if codes is None else codes[row["region_id"]] for row in found]
    stored = [StoredPayload(code, row["payload"]) for code, row in zip(regions, found, strict=True)]
    texts = read_stored(stored, orchestrator=orchestrator)
    for code, row, (region, text) in zip(regions, found, texts, strict=True):
        code, pipeline, model, region = (
            names.setdefault(name, name) for name in (code, row["pipeline"], row["model"], region)
        )
        yield RawRow(_event_time(row), code, pipeline, model, region, text)


def _event_time(row: asyncpg.Record) -> int:
    return int.from_bytes(row["event_time"], "big", signed=True)
