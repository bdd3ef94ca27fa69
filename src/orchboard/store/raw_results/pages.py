"""Reads rows of raw_stats in pages, so that memory does not grow with the answer."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg
from msgspec import Struct

from orchboard import limits
from orchboard.results.render import StoredPayload, read_stored
from orchboard.stats import JobType
from orchboard.store.postgres.admission import UNBOUNDED, Admission
from orchboard.store.postgres.clock import from_pg_time, to_pg_time
from orchboard.store.postgres.reads import Reads
from orchboard.store.raw_results.searched_name import searched_name
from orchboard.store.sql_files import sql

# Minimum size of a row as JSON.
MIN_ROW_BYTES = 370

# Maximum size of a page of a stream in stored bytes. On 28 MB, pages of 64 kB took twice the time, pages of 1 MB a tenth less.
_FIRST_PAGE_ROWS, _MAX_PAGE_ROWS = 100, 1000

# Concurrent reads of pages by all streams of a process.
_CONCURRENT_READS = 1
_MAX_PAUSE_S = 0.1

# Cost in rows (see Admission) of an answer up to MAX_CACHED_ANSWER_BYTES, and of counting the rows of any answer.
_ANSWER_ROWS = 12_000

_LOWEST_ID = -(2**63)


class Part(NamedTuple):
    """The rows of an orchestrator and job type, optionally only those of a region, pipeline or model."""

    orchestrator: str
    job_type: JobType
    region: str | None = None
    pipeline: str | None = None
    model: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether there is no region, pipeline or model."""
        return (self.region, self.pipeline, self.model) == (None, None, None)


class RawRow(NamedTuple):
    """A rendered result. event_time -- in microseconds since 2000; region -- as its tester wrote it; text -- its JSON"""

    event_time: int
    code: str
    pipeline: str
    model: str
    region: str
    text: bytes


class _Page(Struct):
    """Rows, newest first. below -- the key below which the next page begins; None on the last page"""

    rows: list[RawRow]
    below: tuple[int, int] | None


class RowStream:
    """The rows of a part in a range of receipt time, too many for memory.

    Each page is one statement that continues below the last key, so that a slow client holds no connection, transaction or
    snapshot. Rows are never changed and keys only grow: the stream contains exactly once every result that was committed before
    it began and is not deleted before it ends, and possibly results that arrive meanwhile.

    regions -- id and code of each region that has rows
    scored -- True: only rows that count in scores; False: only the others; None: all
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
        """Region codes, sorted, each with a page of its rows as JSON, newest first; a code is repeated for each page.

        Counts as one stream of the limit. Raises ClientBusyError, OverloadedError before the first rows, and
        DatabaseUnavailableError.
        """
        async with self._pages.streams.admitted(1):
            for number, code in self._regions:
                below: tuple[int, int] | None = (self._until + 1, _LOWEST_ID)
                rows = _FIRST_PAGE_ROWS
                while below is not None:
                    async with self._pages.turn():
                        page = await self._pages.read_page(
                            self._part,
                            self._since,
                            below,
                            {number: code},
                            rows=rows,
                            size=limits.STREAM_PAGE_BYTES,
                            scored=self.scored,
                        )
                    below = page.below
                    rows = min(max(2, len(page.rows) * 5 // 4 + 1), _MAX_PAGE_ROWS)
                    texts = [row.text for row in page.rows]
                    del page  # the caller may wait long for a client
                    if texts:
                        yield code, texts


class Found(NamedTuple):
    """Rows, newest first, or a stream of them.

    now, snapshot -- the database's clock, in microseconds since 2000, and its snapshot, before the rows were read
    """

    now: int
    snapshot: str
    rows: list[RawRow] | RowStream


class RawPages:
    """Reads rows from the database. Raises DatabaseUnavailableError, ClientBusyError, OverloadedError.

    admission -- limits expensive queries; streams -- limits streams, each at cost 1
    """

    def __init__(
        self, database: Reads, admission: Admission = UNBOUNDED, streams: Admission = UNBOUNDED
    ) -> None:
        self._database = database
        self._admission = admission
        self._turns = asyncio.Semaphore(_CONCURRENT_READS)
        self.streams = streams

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A turn to read one page of a stream. Several streams together leave half of the time to other work."""
        async with self._turns:
            began_at = time.monotonic()
            yield
            if self.streams.in_progress > 1:
                await asyncio.sleep(min(time.monotonic() - began_at, _MAX_PAUSE_S))

    async def fetch(
        self, part: Part, since: int, until: int, *, max_bytes: int = limits.MAX_CACHED_ANSWER_BYTES
    ) -> Found:
        """The rows received in [since, until]; a stream if they are larger than max_bytes."""
        async with self._admission.admitted(_ANSWER_ROWS):
            counts = await self._database.fetch(
                sql("raw_counts"),
                searched_name(part.orchestrator),
                from_pg_time(since),
                from_pg_time(until),
                part.job_type,
                part.region,
                part.pipeline,
                part.model,
            )
            now, snapshot = to_pg_time(counts[0]["now"]), counts[0]["snapshot"]
            codes = {row["id"]: row["name"] for row in counts if row["id"] is not None}
            max_rows = max_bytes // MIN_ROW_BYTES
            if sum(row["number"] or 0 for row in counts) <= max_rows:
                page = await self.read_page(
                    part, since, (until + 1, _LOWEST_ID), codes, rows=max_rows + 1, size=max_bytes
                )
                if page.below is None and sum(len(row.text) for row in page.rows) <= max_bytes:
                    return Found(now, snapshot, page.rows)
        return Found(now, snapshot, RowStream(self, part, since, until, list(codes.items())))

    async def fetch_page(
        self, part: Part, since: int, below: tuple[int, int], *, limit: int, scored: bool | None
    ) -> tuple[list[RawRow], tuple[int, int] | None]:
        """The rows below a key, newest first: `limit`, or fewer if they are larger than MAX_CACHED_ANSWER_BYTES; and the key below
        which the next ones begin, None if there are none.

        scored -- as in RowStream
        """
        async with self._admission.admitted(_ANSWER_ROWS):
            codes = await self._codes(part)
            rows: list[RawRow] = []
            next_below: tuple[int, int] | None = below
            left = limits.MAX_CACHED_ANSWER_BYTES
            while next_below is not None and len(rows) < limit and left > 0:
                page = await self.read_page(
                    part, since, next_below, codes, rows=limit - len(rows), size=left, scored=scored
                )
                next_below = page.below
                rows += page.rows
                left -= sum(len(row.text) for row in page.rows)
        return rows, next_below

    async def _codes(self, part: Part) -> dict[int, str]:
        """The regions that may have rows, by id. Those that have some are not looked for: that costs all rows of the window."""
        rows = await self._database.fetch(sql("regions_of_job_type"), part.job_type, part.region)
        return {row["id"]: row["name"] for row in rows}

    async def read_page(
        self,
        part: Part,
        since: int,
        below: tuple[int, int],
        codes: dict[int, str],
        *,
        rows: int,
        size: int,
        scored: bool | None = None,
    ) -> _Page:
        """The next rows of some regions.

        below -- event_time and id of the row before the first; codes -- the regions, by id
        rows, size -- the maximum number of rows, and of stored bytes
        scored -- as in RowStream
        """
        if not codes:
            return _Page([], None)
        found = await self._database.fetch(
            sql("raw_page"),
            searched_name(part.orchestrator),
            from_pg_time(since),
            from_pg_time(below[0]),
            below[1],
            list(codes),
            part.pipeline,
            part.model,
            rows,
            size,
            scored,
        )
        last = None
        if found and (len(found) < found[0]["number"] or len(found) == rows):
            last = _event_time(found[-1]), found[-1]["id"]
        return _Page(list(read_rows(found, codes, part.orchestrator, {})), last)


def read_rows(
    found: Sequence[asyncpg.Record], codes: dict[int, str] | None, orchestrator: str, names: dict[str, str]
) -> Iterator[RawRow]:
    """Render records.

    names -- interned names, so that equal ones share memory
    codes -- region codes by id; None if the records have them as `region`
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
