"""The writer: what waits to be stored goes into one statement and one commit."""

import asyncio
import math
from collections.abc import Callable, Sequence, Set

import asyncpg
import structlog

from orchboard.errors import DatabaseUnavailableError, KeyReusedError, Refusal
from orchboard.results.parse import ParsedStats
from orchboard.runtime.tasks import cancel_and_wait
from orchboard.runtime.time_limit import GRACE_S, LATE_S
from orchboard.store.connection.failover import CONNECT_ERRORS
from orchboard.store.connection.failures import NO_ANSWER, explain_failure
from orchboard.store.ingest.batch_insert import Inserts
from orchboard.store.ingest.queue import QueuedRow, WriteQueue
from orchboard.store.ingest.spill import keep
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import (
    DATABASE_ERRORS,
    WRITE_PATIENCE_S,
    Database,
    error_summary,
    unavailable,
)
from orchboard.store.postgres.dedicated_connection import DedicatedConnection, NotSentError
from orchboard.store.postgres.row_errors import is_refusal, refusal_of
from orchboard.store.spool.spool import Spool

log = structlog.get_logger(__name__)

# How long what waits may still be stored when the server stops.
FLUSH_S = 2.0

# How often, at most, it is looked whose time has run out.
_EXPIRY_STEP_S = 0.05

# Between attempts that failed: none after the first, then doubled from the one to the other.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.05, 0.5

# With a spool: how long a result waits for a database that can't be reached, how long for one that has a statement
# under way, and how long that may take. Testers give up after 8 s.
_SPOOL_AFTER_S, _FLIGHT_S = 1.0, 3.0

# With a spool: after so many refusals of single results, one after the other, groups that are refused go to the spool
# whole. The table may take nothing at all, which would cost two statements a result.
_MOST_REFUSED = 8


class Writer:
    """Stores results in the order they came, in groups: one at a time, on a connection of its own.

    Nothing waits for a group to fill. With no statement under way a result is sent at once; those that come
    while one is under way are the next group, or the next two (`_most`).

    clock -- receipt times are read from it
    on_region_gone -- called when a region was removed from the database since its id was read
    tell_stored -- called with what was stored, or may have been, and how long that took at most, in seconds,
    before anybody is told
    spool -- where results go that the database can't take; None: they are refused
    """

    def __init__(
        self,
        database: Database,
        clock: DatabaseClock,
        *,
        on_region_gone: Callable[[], None],
        spool: Spool | None = None,
    ) -> None:
        self._database = database
        self._connection = DedicatedConnection(database)
        self._spool = spool
        self._timeout_s = database.timeout_s
        flight_s = self._timeout_s if spool is None else min(_FLIGHT_S, self._timeout_s / 2)
        self._inserts = Inserts(self._connection, clock, timeout_s=self._timeout_s, flight_s=flight_s)
        self._on_region_gone = on_region_gone
        self.tell_stored: Callable[[Sequence[ParsedStats], float], None] = lambda *_: None
        self._waiting = WriteQueue()
        self._flying: list[QueuedRow] = []
        self._last_size = 0  # of the last group
        self._refused = 0  # by Postgres, since the last that was stored
        self._writing: asyncio.Task[None] | None = None
        self._was_late = False
        self._closed = False
        self._failure: str | None = None

    @property
    def failure(self) -> str | None:
        """Why the last result could not be written, in words for anybody; None when it was, or the spool is empty."""
        is_over = self._spool is not None and not self._spool.is_away
        return None if is_over else self._failure

    def submit(
        self,
        parsed: ParsedStats,
        region_id: int,
        key: str | None,
        digest: bytes | None,
        tester_id: int | None = None,
    ) -> asyncio.Future[ParsedStats]:
        """Queue one result; done after the commit that stores it, or when it is in the spool.

        key, digest -- an Idempotency-Key and the digest of the body it came with; both or neither
        tester_id -- who sent it; None: somebody with the secret that testers share
        Raises DatabaseUnavailableError when too much is waiting, or the server stops; the future raises it
        too, and KeyReusedError for a key of another body; without a spool BadInputError when Postgres refuses what
        the result holds.
        """
        if self._closed:
            raise DatabaseUnavailableError("the server is stopping; try again")
        loop = asyncio.get_running_loop()
        row = QueuedRow(parsed, region_id, key, digest, loop.time(), loop.create_future())
        row.tester_id = tester_id
        spool = self._spool
        if spool is not None and self._database.breaker.is_away:
            spool.note_away()  # readers found it out, which nobody has to do again
        # A key that waits in the spool is known only there.
        if spool is not None and (spool.is_away or (key is not None and spool.depth)):
            keep(spool, [row])
            return row.stored
        self._waiting.append(row)
        if self._writing is None:
            self._writing = loop.create_task(self._write())
        return row.stored

    def keep(
        self,
        parsed: ParsedStats,
        key: str | None,
        digest: bytes | None,
        tester_id: int | None,
        came_at: float,
    ) -> asyncio.Future[ParsedStats]:
        """Have the spool keep one result, whose region nobody may know; done when it is on the disk.

        came_at -- by the loop's clock
        Raises DatabaseUnavailableError without a spool; the future as `submit`'s.
        """
        if self._spool is None or self._closed:
            raise DatabaseUnavailableError(NO_ANSWER)
        stored: asyncio.Future[ParsedStats] = asyncio.get_running_loop().create_future()
        row = QueuedRow(parsed, None, key, digest, came_at, stored)
        row.tester_id = tester_id
        keep(self._spool, [row])
        return row.stored

    async def close(self) -> None:
        """Store what waits within FLUSH_S, spool or refuse the rest, and close the connection."""
        self._closed = True
        if self._writing is not None:
            _, late = await asyncio.wait([self._writing], timeout=FLUSH_S)
            await cancel_and_wait(late)
        left = [row for row in (*self._flying, *self._waiting) if not row.stored.done()]
        self._give_up(left, DatabaseUnavailableError(NO_ANSWER))
        await self._connection.close()

    async def _write(self) -> None:
        """Store what waits until nothing does."""
        self._expire_in(self._timeout_s if self._spool is None else self._patience_s())
        pause_s = 0.0
        try:
            while self._waiting:
                is_well = await self._is_connected()
                if is_well:
                    self._flying = self._waiting.next_group(self._most())
                    self._last_size = len(self._flying)
                    is_well = not self._flying or await self._store(self._flying)
                    self._flying = []
                if is_well:
                    pause_s = 0.0
                else:
                    await asyncio.sleep(pause_s)
                    pause_s = min(max(pause_s * 2, _FIRST_PAUSE_S), _LAST_PAUSE_S)
        except Exception as error:
            log.exception("fault in the writer")
            self._waiting.refuse((*self._flying, *self._waiting), error)
        finally:
            self._writing = None
            self._expiry.cancel()

    def _most(self) -> int:
        """How many may go into the next group, so that those who were answered last and those who wait now take turns.

        Else, once nearly all of them wait, they all do so again the next time, and Postgres and we take turns.
        """
        return (len(self._waiting) + self._last_size + 1) // 2

    async def _is_connected(self) -> bool:
        """Whether there is a connection now. What has waited too long for one is given up."""
        try:
            await self._connection.open()
        except CONNECT_ERRORS as error:
            patience_s = WRITE_PATIENCE_S if self._spool is None else self._patience_s()
            since = asyncio.get_running_loop().time() - patience_s
            self._failure = explain_failure(error).public_message
            if impatient := [row for row in self._waiting if row.submitted_at < since]:
                self._give_up(impatient, unavailable(error))
        except DATABASE_ERRORS as error:
            refusal = unavailable(error)
            self._failure = str(refusal)
            self._give_up(list(self._waiting), refusal)
        except Refusal as not_ready:
            self._give_up(list(self._waiting), not_ready)
        else:
            return True
        return False

    async def _store(self, group: Sequence[QueuedRow]) -> bool:
        """Store a group; if Postgres refuses it, its halves, and so on down to the row that is refused.

        False when it was not to be done now: what may be stored later waits again.
        """
        try:
            await self._insert(group)
            self._refused = 0
        except NotSentError:
            self._put_back(group)
            return False
        except DATABASE_ERRORS as error:
            if is_refusal(error):
                return await self._narrow_down([row for row in group if not row.stored.done()], error)
            self._lost(group, unavailable(error))
            return False
        except DatabaseUnavailableError as refusal:
            self._lost(group, refusal)
            return False
        return True

    async def _narrow_down(self, refused: Sequence[QueuedRow], error: asyncpg.PostgresError) -> bool:
        """As `_store`, for a group that was refused."""
        if len(refused) > 1 and (self._spool is None or self._refused < _MOST_REFUSED):
            middle = len(refused) // 2
            halves = [await self._store(half) for half in (refused[:middle], refused[middle:])]
            return all(halves)
        self._refused += len(refused)
        self._refuse(refused, error)
        return True

    async def _insert(self, group: Sequence[QueuedRow]) -> None:
        loop = asyncio.get_running_loop()
        sent_at = -math.inf if any(row.receipt for row in group) else loop.time()
        new_keys = await self._inserts.send(group)
        self._failure = None
        took_s = loop.time() - sent_at
        if repeated := [row for row in group if row.key not in new_keys]:
            self._acknowledge(group, new_keys, took_s)
            await self._compare(repeated)
        else:  # once the group that waits has been sent: Postgres works meanwhile
            loop.call_soon(self._acknowledge, group, new_keys, took_s)

    def _acknowledge(self, group: Sequence[QueuedRow], new_keys: Set[str | None], took_s: float) -> None:
        """Tell those who ask for answers, then those who sent the results.

        A result whose key was there may have come by another server a moment ago, which nobody told us.
        """
        try:
            self.tell_stored([row.parsed for row in group], took_s)
            for row in group:
                if row.key in new_keys:
                    row.settle()
        except Exception as error:
            log.exception("fault in the writer")
            self._waiting.refuse(group, error)

    async def _compare(self, repeated: Sequence[QueuedRow]) -> None:
        """Acknowledge results whose keys were there, unless they came with another body then.

        Keys may have expired since: those results are stored after all.
        """
        digests = await self._inserts.fetch_digests(repeated)
        for row in repeated:
            if row.key in digests:
                row.settle(None if digests[row.key] == row.digest else KeyReusedError())
        self._put_back(repeated)

    def _refuse(self, rows: Sequence[QueuedRow], error: asyncpg.PostgresError) -> None:
        """Rows that Postgres refuses: into the spool, whose replay finds out why; without one they are refused.

        Acknowledged, since their testers never send them again, and put aside if it is the row's fault.
        """
        if isinstance(error, asyncpg.ForeignKeyViolationError):
            self._on_region_gone()
        if self._spool is not None:
            log.warning("results refused by the database go to the spool", error=error_summary(error))
            keep(self._spool, rows)
            return
        refusal = refusal_of(error)
        for row in rows:
            row.settle(refusal)

    def _lost(self, group: Sequence[QueuedRow], refusal: DatabaseUnavailableError) -> None:
        """Nobody knows whether these were stored. With their receipts they are sent again, unless it is too late."""
        self._failure = str(refusal)
        self.tell_stored([row.parsed for row in group], math.inf)
        patience_s = WRITE_PATIENCE_S if self._spool is None else self._patience_s()
        since = asyncio.get_running_loop().time() - patience_s
        self._give_up([row for row in group if row.submitted_at < since and not row.stored.done()], refusal)
        self._put_back(group)

    def _put_back(self, group: Sequence[QueuedRow]) -> None:
        self._waiting.put_back([row for row in group if not (row.stored.done() or row.is_kept)])

    def _give_up(self, rows: Sequence[QueuedRow], refusal: Refusal) -> None:
        """Results that the database can't take: into the spool, and those after them too; or refused."""
        if self._spool is None:
            self._waiting.refuse(rows, refusal)
        elif rows:
            self._spool.note_away()
            self._database.breaker.probe()  # so that readers are not the next to wait
            self._waiting.take_out(rows)
            keep(self._spool, rows)

    def _patience_s(self) -> float:
        """How long a result waits before it goes to the spool."""
        return min(_FLIGHT_S if self._flying else _SPOOL_AFTER_S, self._timeout_s / 2)

    def _expire(self) -> None:
        """Refuse or spool those whose time has run out, and look again when the next one's has."""
        now = asyncio.get_running_loop().time()
        if now - self._expiry.when() > LATE_S and not self._was_late:
            self._was_late = True  # the event loop stood still: answers may be unread
            self._expire_in(GRACE_S)
            return
        self._was_late = False
        if self._spool is not None:
            since = now - self._patience_s()
            self._give_up(
                [row for row in self._waiting if row.submitted_at <= since],
                DatabaseUnavailableError(NO_ANSWER),
            )
            oldest = min((row.submitted_at for row in self._waiting), default=now)
            self._expire_in(max(oldest + self._patience_s() - now, _EXPIRY_STEP_S))
            return
        pending = (*self._flying, *self._waiting)
        expired = [row for row in pending if row.submitted_at + self._timeout_s <= now]
        self._waiting.refuse(expired, DatabaseUnavailableError(self._failure or NO_ANSWER))
        oldest = min((row.submitted_at for row in pending if not row.stored.done()), default=now)
        self._expire_in(max(oldest + self._timeout_s - now, _EXPIRY_STEP_S))

    def _expire_in(self, wait_s: float) -> None:
        self._expiry = asyncio.get_running_loop().call_later(wait_s, self._expire)
