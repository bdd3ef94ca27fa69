"""The batch writer: stores queued submissions in batches, one statement and one commit for each."""

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence, Set
from typing import TypeAlias

import asyncpg
import structlog
from msgspec import Struct

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError, KeyReusedError, Refusal
from orchboard.results.parse import ParsedStats
from orchboard.results.submission import Submission
from orchboard.runtime.tasks import cancel_and_wait
from orchboard.store.connection.failures import (
    CONNECT_ERRORS,
    DATABASE_ERRORS,
    NO_ANSWER,
    error_summary,
    explain_failure,
    unavailable,
)
from orchboard.store.ingest.batch_insert import BatchInsert, insert_bisecting
from orchboard.store.ingest.ingest_counters import IngestCounters
from orchboard.store.ingest.key_reservation import reserve_keys
from orchboard.store.ingest.queue import ExpiryTimer, QueueEntry, WriteQueue
from orchboard.store.ingest.spill import spill
from orchboard.store.postgres.circuit_breaker import State
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.dedicated_connection import DedicatedConnection, NotSentError
from orchboard.store.postgres.row_errors import refusal_of
from orchboard.store.spool.spool import Spool

log = structlog.get_logger(__name__)


# Pauses between failed attempts: none after the first, then doubled from the first value to the last.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.05, 0.5


# With a spool: after as many consecutive refusals of single rows, refused batches are spilled whole. If the table
# accepts nothing, bisecting costs two statements a row.
_MAX_REFUSED = 8


Forward: TypeAlias = Callable[[Sequence[QueueEntry]], Sequence[QueueEntry]]


class Lane(Struct, frozen=True):
    """A node of a cluster that results are stored on directly.

    node -- its name and port
    leave -- called with what waits when the node can't be reached
    """

    node: tuple[str, int]
    leave: Callable[[Sequence[QueueEntry]], None]


def _received_at(entry: QueueEntry, now: float) -> float:
    """When the primary key of an entry was assigned, which is its receipt time; minus infinity if that is not known."""
    if entry.submission.id is None:
        return now
    return -math.inf if entry.received_at is None else entry.received_at


class BatchWriter:
    """Stores submissions in order of arrival, one batch at a time, on a dedicated connection.

    A submission never waits for a batch to fill. While no statement is under way it is sent at once; those that arrive
    during a statement become the next batch, or the next two (`_next_batch_size`).

    clock -- receipt times are read from it
    on_region_gone -- called when a region was deleted from the database after its id was read
    on_stored -- called before senders are answered, with results that were or may have been stored and the maximum
    duration of that, in seconds
    spool -- receives what the database cannot take; None: those submissions are refused
    lane -- the node of a cluster that it stores on; None: the database
    counters -- of acknowledged results and of batches
    on_position -- see BatchInsert
    forward -- on a distributed board, called with entries whose keys are reserved; gives those of a lane to it, and returns the others
    """

    def __init__(
        self,
        database: Database,
        clock: DatabaseClock,
        counters: IngestCounters,
        *,
        on_region_gone: Callable[[], None],
        on_stored: Callable[[Sequence[ParsedStats], float], None] = lambda *_: None,
        spool: Spool | None = None,
        on_position: Callable[[int], None] | None = None,
        lane: Lane | None = None,
        forward: Forward | None = None,
    ) -> None:
        self._forward = forward
        self._breaker = database.breaker
        self._lane = lane
        self._connection = DedicatedConnection(database, None if lane is None else lane.node)
        self._coordinator = DedicatedConnection(database) if lane else self._connection
        self._spool = spool
        self._timeout_s = database.timeout_s
        statement_s = self._timeout_s if spool is None else min(limits.INSERT_S, self._timeout_s / 2)
        self._inserts = BatchInsert(
            self._connection,
            clock,
            timeout_s=self._timeout_s,
            statement_timeout_s=statement_s,
            on_position=on_position,
            coordinator=self._coordinator,
        )
        self._on_region_gone = on_region_gone
        self._on_stored = on_stored
        self._counters = counters
        self._queue = WriteQueue(counters)
        self._in_flight: list[QueueEntry] = []
        self._last_batch_size = 0
        self._refused = 0  # rows that Postgres refused since the last successful insert
        self._writing: asyncio.Task[None] | None = None
        self._expiry = ExpiryTimer(self._expire)
        self._closed = False
        self._failure: str | None = None

    @property
    def failure(self) -> str | None:
        """The public message of the last failed write; None after a success, or when results go to the database again."""
        return self._failure if self._spool is None or self._breaker.spools_results else None

    def submit(self, submission: Submission) -> asyncio.Future[ParsedStats]:
        """Queue a submission; the future is done after the commit that stores it, or when it is in the spool.

        It goes directly to the spool while the circuit breaker says so, when its region id is unknown, and when its
        Idempotency-Key may be in the spool.
        Raises DatabaseUnavailableError when the queue is full or the server is stopping. The future raises it too;
        KeyReusedError for a key that was used with another body; and, without a spool, BadInputError when Postgres
        refuses the result.
        """
        if self._closed:
            raise DatabaseUnavailableError("the server is stopping; try again")
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[ParsedStats] = loop.create_future()
        spool = self._spool
        if spool is not None and (
            submission.region_id is None
            or (self._breaker.state is not State.CLOSED and self._breaker.diverts_result())
            or (submission.key is not None and spool.depth)
        ):
            spill([QueueEntry(submission, stored, 0, self._counters)], spool, self._breaker)
            return stored
        self._queue.append(submission, stored)
        self._begin()
        return stored

    def take_over(self, entries: Sequence[QueueEntry]) -> None:
        """Store what waits for another writer."""
        self._queue.extend([entry for entry in entries if entry.is_pending])
        self._begin()

    def _begin(self) -> None:
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def close(self) -> None:
        """Store the queue within SHUTDOWN_FLUSH_S, spill or refuse the rest, and close the connection."""
        self._closed = True
        if self._writing is not None:
            _, late = await asyncio.wait([self._writing], timeout=limits.SHUTDOWN_FLUSH_S)
            await cancel_and_wait(late)
        left = [entry for entry in (*self._in_flight, *self._queue) if entry.is_pending]
        self._give_up(left, DatabaseUnavailableError(NO_ANSWER))
        await self._connection.close()
        await self._coordinator.close()

    async def _write(self) -> None:
        """Store batches until the queue is empty."""
        limit_s = self._timeout_s if self._spool is None else self._patience_s()
        self._expiry.start(asyncio.get_running_loop().time() + limit_s)
        pause_s = 0.0
        try:
            while self._queue:
                succeeded = await self._connect()
                if succeeded:
                    self._in_flight = self._queue.next_batch(self._next_batch_size())
                    self._last_batch_size = len(self._in_flight)
                    succeeded = not self._in_flight or await self._store(self._in_flight)
                    self._in_flight = []
                if succeeded:
                    pause_s = 0.0
                else:
                    await asyncio.sleep(pause_s)
                    pause_s = min(max(pause_s * 2, _FIRST_PAUSE_S), _LAST_PAUSE_S)
        except Exception as error:
            log.exception("fault in the writer")
            self._queue.refuse((*self._in_flight, *self._queue), error)
        finally:
            self._writing = None
            self._expiry.stop()

    def _next_batch_size(self) -> int:
        """Half of (queued + last batch), so that client and database work overlap instead of alternating.

        All on a distributed board: lanes overlap with each other and with the reservation of keys, and a statement costs more there,
        1 ms of processor time, and 0.1 ms a result.
        """
        if self._connection.is_distributed:
            return len(self._queue)
        return (len(self._queue) + self._last_batch_size + 1) // 2

    async def _connect(self) -> bool:
        """Open the connection; False when that failed. Gives up entries that have waited too long."""
        try:
            await self._coordinator.open()
            await self._connection.open()
        except CONNECT_ERRORS as error:
            self._failure = explain_failure(error).public_message
            if self._lane is not None:
                waiting = list(self._queue)
                self._queue.remove(waiting)
                self._lane.leave(waiting)
            elif expired := self._overdue(self._queue):
                self._give_up(expired, unavailable(error))
        except DATABASE_ERRORS as error:
            refusal = unavailable(error)
            self._failure = str(refusal)
            self._give_up(list(self._queue), refusal)
        except Refusal as not_ready:
            self._give_up(list(self._queue), not_ready)
        else:
            return True
        return False

    async def _store(self, batch: Sequence[QueueEntry]) -> bool:
        """Store a batch; False when the database was lost: what may be stored later is queued again."""
        try:
            await insert_bisecting(
                batch,
                self._insert,
                self._refuse,
                may_split=lambda: self._spool is None or self._refused < _MAX_REFUSED,
            )
        except NotSentError:
            self._put_back(batch)
        except DATABASE_ERRORS as error:
            self._handle_unknown_outcome(batch, unavailable(error))
        except DatabaseUnavailableError as refusal:
            self._handle_unknown_outcome(batch, refusal)
        else:
            return True
        return False

    async def _insert(self, batch: Sequence[QueueEntry]) -> None:
        loop = asyncio.get_running_loop()
        is_part = len(batch) < len(self._in_flight)  # of a batch that was refused
        if is_part and not (batch := [entry for entry in batch if entry.is_pending]):
            return
        if self._forward is not None and self._connection.is_distributed:
            batch = await self._reserve(batch, self._forward)
            if not batch:
                return
        submissions = [entry.submission for entry in batch]
        sent_at = loop.time()
        if any(each.id is not None for each in submissions):
            sent_at = min(_received_at(entry, sent_at) for entry in batch)
        new_keys = await self._inserts.send(submissions)
        self._counters.count_batch(len(submissions))
        self._failure, self._refused = None, 0
        took_s = loop.time() - sent_at
        repeated = [entry for entry in batch if entry.submission.key not in new_keys]
        if is_part or repeated:
            self._acknowledge(batch, new_keys, took_s)
            if repeated:
                await self._compare(repeated)
        else:  # in the next iteration, after the next batch was sent: Postgres works meanwhile
            loop.call_soon(self._acknowledge, batch, new_keys, took_s)

    async def _reserve(self, batch: Sequence[QueueEntry], forward: Forward) -> Sequence[QueueEntry]:
        """Reserve the keys of a batch on a distributed board, and forward what a lane stores; returns the others."""
        batch, repeated = await reserve_keys(self._inserts, batch)
        if repeated:
            await self._compare(repeated)
        left = forward(batch)
        if not left:
            self._failure = None
        # A failure concerns only what is stored here.
        forwarded = {id(entry) for entry in batch} - {id(entry) for entry in left}
        self._in_flight[:] = [entry for entry in self._in_flight if id(entry) not in forwarded]
        return left

    def _acknowledge(self, batch: Sequence[QueueEntry], new_keys: Set[str | None], took_s: float) -> None:
        """Report a batch as stored, then resolve its entries with new keys.

        The others may have been stored by another server, which reports nothing to this one.
        """
        try:
            self._on_stored([entry.submission.parsed for entry in batch], took_s)
            for entry in batch:
                if entry.submission.key in new_keys:
                    entry.resolve()
        except Exception as error:
            log.exception("fault in the writer")
            self._queue.refuse(batch, error)

    async def _compare(self, repeated: Sequence[QueueEntry]) -> None:
        """Resolve entries whose keys exist: stored if the body was equal, else KeyReusedError.

        Entries whose keys have expired meanwhile are queued again.
        """
        digests = await self._inserts.fetch_digests([entry.submission for entry in repeated])
        for entry in repeated:
            if (digest := digests.get(entry.submission.key or "")) is not None:
                entry.resolve(None if digest == entry.submission.body_digest else KeyReusedError())
        self._put_back(repeated)

    def _refuse(self, entries: Sequence[QueueEntry], error: asyncpg.PostgresError) -> None:
        """Spill entries that Postgres refuses; the replay finds the reason. Without a spool, refuse them.

        A spilled entry is acknowledged, because its tester never sends it again. It becomes a dead letter if the row
        itself is at fault.
        """
        self._refused += len(entries)
        if isinstance(error, asyncpg.ForeignKeyViolationError):
            self._on_region_gone()
        if self._spool is not None:
            log.warning("results refused by the database go to the spool", error=error_summary(error))
            spill(entries, self._spool, self._breaker)
            return
        refusal = refusal_of(error)
        for entry in entries:
            entry.resolve(refusal)

    def _handle_unknown_outcome(self, batch: Sequence[QueueEntry], refusal: DatabaseUnavailableError) -> None:
        """Queue a batch again whose outcome is unknown, or give up what is too old. Primary keys prevent duplicates.

        A statement without an answer may have been cancelled at the deadline of its results: it does not replace the
        message of the failure before it.
        """
        if self._failure is None or str(refusal) != NO_ANSWER:
            self._failure = str(refusal)
        self._on_stored([entry.submission.parsed for entry in batch], math.inf)
        self._give_up(self._overdue(batch), refusal)
        self._put_back(batch)

    def _overdue(self, entries: Iterable[QueueEntry]) -> list[QueueEntry]:
        since = asyncio.get_running_loop().time() - self._patience_s()
        return [entry for entry in entries if entry.is_pending and entry.submission.submitted_at < since]

    def _put_back(self, batch: Sequence[QueueEntry]) -> None:
        self._queue.put_back([entry for entry in batch if entry.is_pending])

    def _give_up(self, entries: Sequence[QueueEntry], refusal: Refusal) -> None:
        """Spill entries that the database cannot take, and all later ones too; or refuse them without a spool."""
        if self._spool is None:
            self._queue.refuse(entries, refusal)
        elif entries:
            self._breaker.start_spooling()
            self._queue.remove(entries)
            spill(entries, self._spool, self._breaker)

    def _patience_s(self) -> float:
        """How long an entry waits for a lost database before it is given up."""
        if self._spool is None:
            return limits.WRITE_RETRY_S
        limit_s = limits.INSERT_S if self._in_flight else limits.SPOOL_AFTER_S
        return min(limit_s, self._timeout_s / 2)

    def _expire(self, now: float) -> float:
        """Spill or refuse entries whose time limit has passed; returns when the next one's passes."""
        if self._spool is None:
            limit_s, refusal = self._timeout_s, DatabaseUnavailableError(self._failure or NO_ANSWER)
            in_flight = self._in_flight
        else:  # a statement under way has its own time limit
            limit_s, refusal = self._patience_s(), DatabaseUnavailableError(NO_ANSWER)
            in_flight = []
        pending = [entry for entry in (*in_flight, *self._queue) if entry.is_pending]
        expired = [entry for entry in pending if entry.submission.submitted_at <= now - limit_s]
        self._give_up(expired, refusal)
        oldest = min((entry.submission.submitted_at for entry in pending if entry.is_pending), default=now)
        return oldest + limit_s
