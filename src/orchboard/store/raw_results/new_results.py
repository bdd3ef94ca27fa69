"""NewResultReader: the results that were committed since a cursor, whoever stored them."""

from collections.abc import AsyncGenerator
from datetime import datetime

import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from orchboard import limits
from orchboard.stats import JobType, Series
from orchboard.store.change_tracking.snapshot_history import listed
from orchboard.store.postgres.clock import SECOND, from_pg_time, to_pg_time
from orchboard.store.postgres.database import Database
from orchboard.store.raw_results.cursor import NO_SNAPSHOT, Cursor, first_transaction, last_transaction

# An older result is in `rollup_invalidations` (migration 11); the other second allows for steps of the clock.
_LATE = 2 * SECOND

# Positions closer together are one, in microseconds; a longer history is thinned out.
_HISTORY_STEP = SECOND // 4
_MAX_HISTORY = 1000


class NewResult(Struct, frozen=True):
    """A result, in short.

    cursor -- of the listener that has received it
    error_codes -- as posted, at most 20 of at most 64 characters
    """

    cursor: Cursor
    received_at: datetime
    series: Series
    is_scored: bool
    success_rate: float
    round_trip_time: float
    error_codes: tuple[str, ...]


class Position(Struct, frozen=True):
    """A snapshot, and the database's time when it was taken, in microseconds since 2000."""

    snapshot: str
    moment: int


class PositionHistory:
    """Past positions of a reader, which tell how early a transaction that is new to it may have stored results."""

    def __init__(self, first: Position) -> None:
        # Transactions that were running at the first position may have stored something shortly before.
        earlier = first.moment - round(limits.STREAM_START_S * SECOND)
        self._positions = [(0, earlier), (last_transaction(first.snapshot), first.moment)]
        self.add(first)

    def add(self, position: Position) -> None:
        """Add the newest position, and forget those that no running transaction is older than."""
        if position.moment - self._positions[-1][1] >= _HISTORY_STEP:
            self._positions.append((last_transaction(position.snapshot), position.moment))
        oldest = first_transaction(position.snapshot)
        ended = sum(begin <= oldest for begin, _ in self._positions)
        del self._positions[: max(ended - 1, 0)]
        if len(self._positions) > _MAX_HISTORY:
            del self._positions[1::2]

    def floor_of(self, transaction: int) -> int:
        """A time before which a transaction and later ones stored no result but late ones, in microseconds since 2000."""
        moments = [moment for begin, moment in self._positions if begin <= transaction]
        return (moments[-1] if moments else self._positions[0][1]) - _LATE


class NewResultReader:
    """Reads new results. Raises DatabaseUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch_position(self) -> Position:
        """The current position."""
        [row] = await self._database.fetch(self._database.statement("read_position"))
        return Position(listed(row["snapshot"]), to_pg_time(row["now"]))

    async def pages_between(
        self, cursor: Cursor, position: Position, *, floor: int | None = None
    ) -> AsyncGenerator[list[NewResult], None]:
        """The results after a cursor that are visible in a later position, in pages.

        floor -- as in Cursor, for a reader that knows better
        """
        if last_transaction(cursor.within) > last_transaction(position.snapshot):
            # Another database's: only the key says something.
            cursor = replace(cursor, before=NO_SNAPSHOT, within=NO_SNAPSHOT, floor=cursor.event_time)
        if cursor.within != cursor.before:
            async for page in self._pages(cursor, position.moment, None):
                yield page
            cursor = batch_end(cursor, cursor.within)
        has_key_alone = cursor.before == NO_SNAPSHOT
        key = (cursor.event_time, cursor.id) if has_key_alone else (-(2**62), 0)
        rest = Cursor(*key, cursor.before, position.snapshot, cursor.floor)
        async for page in self._pages(rest, position.moment, floor):
            yield page

    async def _pages(
        self, cursor: Cursor, now: int, floor: int | None
    ) -> AsyncGenerator[list[NewResult], None]:
        """The rest of one batch."""
        earliest = now - round(limits.STREAM_RESUME_S * SECOND)
        since = max(cursor.floor if floor is None else floor, earliest)
        while True:
            rows = await self._database.fetch(
                self._database.statement("new_results"),
                cursor.before,
                cursor.within,
                from_pg_time(since),
                from_pg_time(earliest),
                from_pg_time(max(cursor.event_time, earliest - SECOND)),
                cursor.id if cursor.event_time >= earliest else 0,
                limits.STREAM_PAGE_RESULTS,
            )
            page = [_new_result(row, cursor) for row in rows]
            if page:
                cursor = page[-1].cursor
                yield page
            if len(page) < limits.STREAM_PAGE_RESULTS:
                return


def batch_end(cursor: Cursor, snapshot: str) -> Cursor:
    """The cursor of a listener that has received everything visible in a snapshot."""
    return replace(cursor, before=snapshot, within=snapshot)


def first_new_transaction(earlier: str, later: str) -> int:
    """The lowest transaction that may be visible in a later snapshot and was not in an earlier one."""
    _, xmax, running = later.split(":")
    still = {int(each) for each in running.split(",")} if running else set()
    before = earlier.split(":")
    candidates = [int(each) for each in before[2].split(",")] if before[2] else []
    candidates.append(int(before[1]))
    return next((each for each in candidates if each not in still and each < int(xmax)), int(xmax))


def _new_result(row: asyncpg.Record, batch: Cursor) -> NewResult:
    event_time = row["event_time"]
    series = Series(
        row["orchestrator"],
        row["region"],
        _job_type(row["job_type"]),
        row["pipeline"],
        row["model"],
        row["tester"] or "",
    )
    return NewResult(
        replace(batch, event_time=to_pg_time(event_time), id=row["id"]),
        event_time,
        series,
        row["is_scored"],
        row["success_rate"],
        row["round_trip_time"],
        tuple(row["error_codes"]),
    )


def _job_type(name: str) -> JobType:
    return JobType.AI if name == JobType.AI else JobType.TRANSCODING
