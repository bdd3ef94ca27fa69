"""Reads results of any window as text, in pages and in the order of receipt, so that memory does not grow with the answer."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

import asyncpg
from msgspec import Struct

from orchboard import limits
from orchboard.runtime.tasks import cancel_and_wait, consume_exception
from orchboard.stats import SeriesQuery, Window
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.reads import Reads
from orchboard.store.raw_results.pages import RawPages
from orchboard.store.raw_results.searched_name import searched_name
from orchboard.store.sql_files import sql

LineFormat: TypeAlias = Literal["ndjson", "csv", "text"]
"""`text`: as ndjson, with the payload as a string."""

# Results that are read for a page: the first is small, so that a client gets its first bytes at once.
_FIRST_PAGE_RESULTS, _PAGE_RESULTS = 500, 4000

_LOWEST_ID = -(2**63)


class ResultKey(NamedTuple):
    """What results are ordered by."""

    event_time: datetime
    id: int


class ResultSelection(Struct, frozen=True, kw_only=True):
    """Which results, and how they are written.

    scored -- True: only those that count in scores; False: only the others; None: all
    payload -- whether each has its stored JSON
    after -- only the results after this one; None: all
    limit -- maximum number of results; None: all
    """

    query: SeriesQuery
    window: Window
    format: LineFormat
    scored: bool | None = None
    payload: bool = False
    after: ResultKey | None = None
    limit: int | None = None


class ResultExport:
    """Reads results as text. Raises DatabaseUnavailableError, ClientBusyError, OverloadedError.

    Each page is one statement that continues after the last key, as in `RowStream`: a slow client holds no connection,
    transaction or snapshot. Every result that was committed before the export began and is not deleted before it ends is in
    it exactly once.
    """

    def __init__(self, database: Reads, clock: DatabaseClock, pages: RawPages) -> None:
        """pages -- whose limit of streams and whose turns also apply here"""
        self._database = database
        self._clock = clock
        self._pages = pages

    def admitted(self) -> AbstractAsyncContextManager[None]:
        """Counts as one stream of the limit within the block."""
        return self._pages.streams.admitted(1)

    async def pages(self, selection: ResultSelection) -> AsyncGenerator[bytes, None]:
        """The lines of the selected results, in pieces of whole lines; at least one, which may be empty.

        Counts as one stream of the limit.
        """
        async with self.admitted():
            until = self._clock.end_of(selection.window)
            first = ResultKey(selection.window.since, _LOWEST_ID)
            after, left = max(selection.after or first, first), selection.limit
            reading = self._read(selection, after, until, _FIRST_PAGE_RESULTS, left)
            try:
                while True:
                    page = await reading
                    if left is not None:
                        left -= page["number"]
                    is_last = page["is_last"] is not False or left == 0
                    if not is_last:  # the next page is read while the client receives this one
                        after = ResultKey(page["event_time"], page["id"])
                        reading = self._read(selection, after, until, _next_number(page, selection), left)
                    body = page["body"] or b""
                    del page
                    yield body
                    if is_last:
                        return
                    del body
            finally:
                await cancel_and_wait([reading])

    def _read(
        self, selection: ResultSelection, after: ResultKey, until: datetime, number: int, left: int | None
    ) -> asyncio.Task[asyncpg.Record]:
        """Begin to read `number` results, for a page of at most `left` lines."""

        async def read() -> asyncpg.Record:
            async with self._pages.turn():
                return await self._fetch(selection, after, until, number, left)

        reading = asyncio.create_task(read())
        reading.add_done_callback(consume_exception)
        return reading

    async def next_result(self, since: datetime, until: datetime) -> datetime | None:
        """The receipt time of the first result in [since, until); None if there is none."""
        rows = await self._database.fetch(sql("next_result"), since, until)
        return rows[0]["event_time"] if rows else None

    async def _fetch(
        self, selection: ResultSelection, after: ResultKey, until: datetime, number: int, left: int | None
    ) -> asyncpg.Record:
        query = selection.query
        [page] = await self._database.fetch(
            sql("export_page"),
            *after,
            until,
            number,
            None if query.orchestrators is None else searched_name(next(iter(query.orchestrators))),
            query.job_type,
            query.region,
            query.pipeline,
            query.model,
            query.tester,
            selection.scored,
            selection.format,
            selection.payload,
            limits.STREAM_PAGE_BYTES,
            left,
        )
        return page


def _next_number(page: asyncpg.Record, selection: ResultSelection) -> int:
    """How many results to read for the page after this one; with payloads, about as many as fit."""
    if not selection.payload:
        return _PAGE_RESULTS
    read: int = page["read"]
    return min(max(2, read * 5 // 4 + 1), _PAGE_RESULTS)
