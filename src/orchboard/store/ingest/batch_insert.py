"""Inserts: a batch of submissions in one statement, which may be sent again when its outcome is unknown.

To add a column, add it to `_columns`, `BatchInsert.send`, `insert_stats.sql` and `insert_once.sql`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence, Set
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar

import asyncpg

from orchboard.errors import DatabaseUnavailableError
from orchboard.results.submission import Submission
from orchboard.runtime.tasks import time_limit
from orchboard.store.connection.failures import DATABASE_ERRORS, NO_ANSWER
from orchboard.store.postgres.clock import MAX_AGE_S, DatabaseClock
from orchboard.store.postgres.dedicated_connection import DedicatedConnection, NotSentError
from orchboard.store.postgres.row_errors import is_refusal
from orchboard.store.postgres.wal_position import position_of
from orchboard.store.sql_files import sql

T = TypeVar("T")

Fetch: TypeAlias = Callable[..., Awaitable[list[asyncpg.Record]]]
"""Runs a statement with arguments and returns its rows."""

# Separates the values of a column in `insert_stats`. JSON does not contain it unescaped; an orchestrator that does is sent
# by `insert_once`.
_SEPARATOR = "\x1e"

_INSERT_STATS, _INSERT_ONCE, _ALLOCATE_IDS = sql("insert_stats"), sql("insert_once"), sql("allocate_ids")

# Ids to allocate at once: the first block, and the largest after repeated use. Ids that are left at shutdown are lost.
_FIRST_BLOCK, _LAST_BLOCK = 100, 1_000

# A new measurement that moves the clock back by less than this only corrects the previous one; more is a step.
_JITTER = timedelta(seconds=1)


async def insert_once(fetch: Fetch, submissions: Sequence[Submission]) -> Set[str | None]:
    """Insert submissions that have ids, each once, all or none; returns the Idempotency-Keys that were new, and None.

    A submission whose key is not among them was not inserted: `fetch_digests` tells with which body its key was used.
    """
    rows = await fetch(
        _INSERT_ONCE,
        *_columns(submissions),
        [each.key for each in submissions],
        [each.body_digest for each in submissions],
        [each.event_time for each in submissions],
        [each.id for each in submissions],
    )
    return {None, *(key for (key,) in rows)}


async def fetch_position(fetch: Fetch) -> int:
    """A position in the WAL that the last commit of a connection is before."""
    [row] = await fetch(sql("commit_position"))
    return position_of(row["timeline"], row["lsn"])


async def fetch_digests(fetch: Fetch, keys: Sequence[str | None]) -> dict[str, bytes]:
    """Fetch the digests of the bodies that Idempotency-Keys were first used with, by key; no item for an expired key."""
    rows = await fetch(sql("body_digests"), keys)
    return {row["key"]: row["body_digest"] for row in rows}


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


def _columns(submissions: Sequence[Submission]) -> tuple[list[Any], ...]:
    """The columns that both statements take first: orchestrator, region id, payload, tester id."""
    return (
        [each.parsed.orchestrator for each in submissions],
        [each.region_id for each in submissions],
        [each.parsed.payload.decode() for each in submissions],
        [each.tester_id for each in submissions],
    )


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

    coordinator -- if the connection is to another node of a cluster: allocates keys, and repeats what may be stored already
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
        if any(
            each.id is not None or each.key is not None or _SEPARATOR in each.parsed.orchestrator
            for each in batch
        ):
            return await self._send_once(batch)
        event_time, ids = await self._assign(len(batch))
        orchestrators, region_ids, payloads, tester_ids = _columns(batch)
        async with time_limit(self._due_at(batch)):
            try:
                await self._connection.fetch(
                    _INSERT_STATS,
                    _SEPARATOR.join(orchestrators),
                    _SEPARATOR.join(map(str, region_ids)),
                    _SEPARATOR.join(payloads),
                    _SEPARATOR.join(["" if number is None else str(number) for number in tester_ids]),
                    event_time,
                    ",".join(map(str, ids)),
                )
                await self._note_position()
            except NotSentError:
                raise
            except BaseException:
                for each, number in zip(batch, ids, strict=True):
                    each.event_time, each.id = event_time, number
                raise
        return {None}

    async def _send_once(self, batch: Sequence[Submission]) -> Set[str | None]:
        unassigned = [each for each in batch if each.id is None]
        event_time, ids = await self._assign(len(unassigned))
        for each, number in zip(unassigned, ids, strict=True):
            each.event_time, each.id = event_time, number
        async with time_limit(self._due_at(batch)):
            new_keys = await insert_once(self._coordinator.fetch, batch)
            await self._note_position()
            return new_keys

    async def _note_position(self) -> None:
        """Read how far the WAL is after a commit, for the readers of standbys. A failure makes the outcome unknown."""
        if self._on_position is None:
            return
        try:
            self._on_position(await fetch_position(self._connection.fetch))
        except (NotSentError, asyncpg.PostgresError) as error:
            raise DatabaseUnavailableError(NO_ANSWER) from error

    async def fetch_digests(self, batch: Sequence[Submission]) -> dict[str, bytes]:
        """Fetch the digests of the bodies that a batch's keys were first used with; no item for an expired key."""
        async with time_limit(self._due_at(batch)):
            return await fetch_digests(self._coordinator.fetch, [each.key for each in batch])

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
