"""Inserts: a batch of submissions in one statement, which may be sent again when its outcome is unknown.

To add a column, add it to `_texts`, `insert_statements._columns`, and the SQL files `insert_stats`, `insert_stats_on_nodes`, `insert_once` and
`insert_reserved`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence, Set
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import asyncpg

from orchboard.errors import DatabaseUnavailableError
from orchboard.results.submission import Submission
from orchboard.runtime.tasks import time_limit
from orchboard.store.connection.failures import DATABASE_ERRORS, NO_ANSWER
from orchboard.store.ingest.insert_statements import (
    Reserved,
    fetch_digests,
    fetch_position,
    insert_once,
    insert_reserved,
    reserve,
)
from orchboard.store.postgres.clock import MAX_AGE_S, DatabaseClock
from orchboard.store.postgres.dedicated_connection import DedicatedConnection, NotSentError
from orchboard.store.postgres.row_errors import is_refusal
from orchboard.store.sql_files import sql

T = TypeVar("T")

# Separates the values of a column in `insert_stats`. JSON does not contain it unescaped; an orchestrator that does is sent
# by `insert_once`.
_SEPARATOR = "\x1e"

_INSERT_STATS, _INSERT_ON_NODES, _ALLOCATE_IDS = (
    sql("insert_stats"), sql("insert_stats_on_nodes"), sql("allocate_ids"),
)  # fmt: skip

# Ids to allocate at once: the first block, and the largest after repeated use. Ids that are left at shutdown are lost.
_FIRST_BLOCK, _LAST_BLOCK = 100, 1_000

# A new measurement that moves the clock back by less than this only corrects the previous one; more is a step.
_JITTER = timedelta(seconds=1)


async def insert_bisecting(
    rows: Sequence[T],
    insert: Callable[[Sequence[T]], Awaitable[None]],
    refuse: Callable[[Sequence[T], asyncpg.PostgresError], None],
    may_split: Callable[[], bool],
) -> None:
    """Insert rows; if Postgres refuses them, insert each half, down to single rows.

    insert -- inserts rows, all or none
    refuse -- called with a row that Postgres refused alone, or with several that `may_split` forbids to split
    Raises what `insert` raises, except refusals (`is_refusal`).
    """
    try:
        await insert(rows)
    except asyncpg.PostgresError as error:
        if not is_refusal(error):
            raise
        if len(rows) == 1 or not may_split():
            refuse(rows, error)
            return
        middle = len(rows) // 2
        for half in (rows[:middle], rows[middle:]):
            await insert_bisecting(half, insert, refuse, may_split)


def _has_separator(submissions: Sequence[Submission]) -> bool:
    return any(_SEPARATOR in each.parsed.orchestrator for each in submissions)


def _texts(submissions: Sequence[Submission]) -> tuple[str, ...]:
    """The columns that `insert_stats` takes first: orchestrator, region id, payload, tester id."""
    return (
        _SEPARATOR.join([each.parsed.orchestrator for each in submissions]),
        _SEPARATOR.join([str(each.region_id) for each in submissions]),
        _SEPARATOR.join([each.parsed.payload.decode() for each in submissions]),
        _SEPARATOR.join(["" if each.tester_id is None else str(each.tester_id) for each in submissions]),
    )


def _note_keys(submissions: Sequence[Submission], event_time: datetime, ids: Sequence[int]) -> None:
    for each, number in zip(submissions, ids, strict=True):
        each.event_time, each.id = event_time, number


class KeyAllocator:
    """Assigns primary keys, so that a statement can be sent again: ids from blocks, receipt times by the database's clock.

    connection -- the one that the batches are sent on
    """

    def __init__(self, connection: DedicatedConnection, clock: DatabaseClock) -> None:
        self._connection = connection
        self._clock = clock
        self._ids: Sequence[int] = ()
        self._next = 0
        self._block = _FIRST_BLOCK
        self._measured_on = 0  # number of the connection
        self._latest = datetime.min.replace(tzinfo=UTC)

    def has(self, number: int) -> bool:
        """Whether `take` can assign as many keys without a query. Never on a new connection: its server's clock may differ."""
        return (
            self._next + number <= len(self._ids)
            and self._measured_on == self._connection.number
            and self._clock.age_s <= MAX_AGE_S
        )

    def take(self, number: int) -> tuple[datetime, Sequence[int]]:
        """Return a receipt time and ascending ids, as many as it `has`.

        Receipt times do not decrease, unless the database's clock is set back.
        """
        first, self._next = self._next, self._next + number
        now = self._clock.now()
        if now < self._latest < now + _JITTER:
            now = self._latest
        self._latest = now
        return now, self._ids[first : self._next]

    async def allocate(self, number: int) -> None:
        """Allocate a block of ids, at least as many, and measure the clock. Raises what `DedicatedConnection.fetch` raises."""
        left = self._ids[self._next :]
        wanted = 0 if len(left) >= number else max(number, self._block)
        sent_at = time.monotonic()
        [row] = await self._connection.fetch(_ALLOCATE_IDS, wanted)
        self._clock.measure(row["now"], sent_at, time.monotonic())
        self._measured_on = self._connection.number
        if wanted:
            self._block = min(self._block * 4, _LAST_BLOCK)
            self._ids, self._next = [*left, *row["ids"]], 0


class BatchInsert:
    """Sends batches on one connection, one at a time.

    coordinator -- if the connection is to another node of a cluster: allocates primary keys
    timeout_s -- time limit of the youngest submission in a batch, from its arrival
    statement_timeout_s -- time limit of a statement
    on_position -- called after each commit with a position in the WAL that it is before; None: the position is not read
    """

    def __init__(
        self,
        connection: DedicatedConnection,
        clock: DatabaseClock,
        *,
        timeout_s: float,
        statement_timeout_s: float,
        on_position: Callable[[int], None] | None = None,
        coordinator: DedicatedConnection | None = None,
    ) -> None:
        self._connection = connection
        self._coordinator = coordinator or connection
        self._on_position = on_position
        self._keys = KeyAllocator(self._coordinator, clock)
        self._timeout_s = timeout_s
        self._statement_timeout_s = statement_timeout_s

    async def send(self, batch: Sequence[Submission]) -> Set[str | None]:
        """Insert a batch, all or none; returns the Idempotency-Keys that were new, and None.

        Raises what `DedicatedConnection.fetch` raises. After NotSentError or a refusal (`is_refusal`) nothing was inserted.
        After any other error the outcome is unknown: each submission has its primary key then, and is inserted once,
        however often it is sent.
        """
        if self._connection.is_distributed:
            return await self._send_to_nodes(batch)
        if _has_separator(batch) or any(each.id is not None or each.key is not None for each in batch):
            return await self._send_once(batch)
        event_time, ids = await self._assign(len(batch))
        async with time_limit(self._due_at(batch)):
            try:
                await self._connection.fetch(
                    _INSERT_STATS, *_texts(batch), event_time, ",".join(map(str, ids))
                )
                await self._note_position()
            except NotSentError:
                raise
            except BaseException:
                _note_keys(batch, event_time, ids)
                raise
        return {None}

    async def _send_once(self, batch: Sequence[Submission]) -> Set[str | None]:
        await self._assign_unassigned(batch)
        async with time_limit(self._due_at(batch)):
            new_keys = await insert_once(self._connection.fetch, batch)
            await self._note_position()
            return new_keys

    async def reserve(self, batch: Sequence[Submission]) -> Reserved:
        """Reserve the Idempotency-Keys of a batch, on the coordinator of a distributed board. Raises what `send` raises."""
        await self._assign_unassigned(batch)
        async with time_limit(self._due_at(batch)):
            return await reserve(self._connection.fetch, batch)

    async def _send_to_nodes(self, batch: Sequence[Submission]) -> Set[str | None]:
        """Insert a batch whose Idempotency-Keys are reserved, on a distributed board."""
        await self._assign_unassigned(batch)
        async with time_limit(self._due_at(batch)):
            if _has_separator(batch) or not await self._is_sent_as_new(batch):
                await insert_reserved(self._connection.fetch, batch)
            await self._note_position()
        return {None, *(each.key for each in batch)}

    async def _is_sent_as_new(self, batch: Sequence[Submission]) -> bool:
        """Insert results, all or none; False if one exists: its outcome was unknown, or another server has repeated its key."""
        event_times = [each.event_time for each in batch]
        try:
            await self._connection.fetch(
                _INSERT_ON_NODES, *_texts(batch), event_times, ",".join([str(each.id) for each in batch])
            )
        except asyncpg.UniqueViolationError:
            return False
        return True

    async def _note_position(self) -> None:
        """Read how far the WAL is after a commit, for the readers of standbys. A failure makes the outcome unknown."""
        if self._on_position is None:
            return
        try:
            self._on_position(await fetch_position(self._connection.fetch))
        except (NotSentError, asyncpg.PostgresError) as error:
            raise DatabaseUnavailableError(NO_ANSWER) from error

    async def fetch_digests(self, batch: Sequence[Submission]) -> dict[str, bytes]:
        """As `insert_statements.fetch_digests`."""
        async with time_limit(self._due_at(batch)):
            return await fetch_digests(self._connection.fetch, batch)

    async def _assign_unassigned(self, batch: Sequence[Submission]) -> None:
        unassigned = [each for each in batch if each.id is None]
        if not unassigned:
            return
        _note_keys(unassigned, *await self._assign(len(unassigned)))

    async def _assign(self, number: int) -> tuple[datetime, Sequence[int]]:
        if not self._keys.has(number):
            try:
                async with asyncio.timeout(self._statement_timeout_s):
                    await self._keys.allocate(number)
            except DATABASE_ERRORS as error:
                raise NotSentError from error
        return self._keys.take(number)

    def _due_at(self, batch: Sequence[Submission]) -> float:
        youngest = max(each.submitted_at for each in batch)
        latest = asyncio.get_running_loop().time() + self._statement_timeout_s
        return min(youngest + self._timeout_s, latest)
