"""The writer: what waits to be stored goes into one statement and one commit."""

import asyncio
import math
from collections.abc import Callable, Sequence

import asyncpg
import structlog

from orchboard.errors import BadInputError, DatabaseUnavailableError, KeyReusedError, Refusal
from orchboard.parsing import ParsedStats
from orchboard.store.database import (
    BAD_ROW,
    LOST,
    NO_ANSWER,
    WRITE_PATIENCE_S,
    Database,
    in_brief,
    unavailable,
)
from orchboard.store.hosts import CANT_CONNECT
from orchboard.store.kept_connection import NotSentError
from orchboard.store.lane import Lane
from orchboard.store.overflow import keep
from orchboard.store.spool import Spool
from orchboard.store.write_queue import QueuedRow, WriteQueue
from orchboard.tasks import end

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

# While one group is under way, another is sent when so many results wait: Postgres is at the one while we are at the
# other, and fewer are not worth a commit of their own.
_LANES = 2
_WORTH_A_COMMIT = 8

# So long a lane that could not go on is left alone, as long as another one is at work.
_REST_S = 1.0


class Writer:
    """Stores results in the order they came, in groups, on connections of its own.

    Nothing waits for a group to fill. With no statement under way a result is sent at once; those that
    come while one is under way are the next group, sent when it is done or when there are enough of them.

    on_region_gone -- called when a region was removed from the database since its id was read
    tell_stored -- called with what was stored, or may have been, and how long that took at most, in seconds,
    before anybody is told
    spool -- where results go that the database can't take; None: they are refused
    """

    def __init__(
        self, database: Database, *, on_region_gone: Callable[[], None], spool: Spool | None = None
    ) -> None:
        self._database = database
        self._spool = spool
        self._timeout_s = database.timeout_s
        flight_s = self._timeout_s if spool is None else min(_FLIGHT_S, self._timeout_s / 2)
        self._lanes = [Lane(database, timeout_s=self._timeout_s, flight_s=flight_s) for _ in range(_LANES)]
        self._on_region_gone = on_region_gone
        self.tell_stored: Callable[[Sequence[ParsedStats], float], None] = lambda *_: None
        self._waiting = WriteQueue()
        self._closed = False

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
        too, and BadInputError when Postgres refuses the result, KeyReusedError for a key of another body.
        """
        if self._closed:
            raise DatabaseUnavailableError("the server is stopping; try again")
        loop = asyncio.get_running_loop()
        row = QueuedRow(parsed, region_id, key, digest, loop.time(), loop.create_future())
        row.tester_id = tester_id
        spool = self._spool
        # A key that waits in the spool is known only there.
        if spool is not None and (spool.is_away or (key is not None and spool.depth)):
            keep(spool, [row])
            return row.stored
        self._waiting.append(row)
        self._set_to_work()
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
        if busy := [lane.writing for lane in self._lanes if lane.writing is not None]:
            _, late = await asyncio.wait(busy, timeout=FLUSH_S)
            await end(late)
        left = [row for row in (*self._flying(), *self._waiting) if not row.stored.done()]
        self._give_up(left, DatabaseUnavailableError(NO_ANSWER))
        await asyncio.gather(*(lane.connection.close() for lane in self._lanes))

    def _flying(self) -> list[QueuedRow]:
        """What is under way."""
        return [row for lane in self._lanes for row in lane.flying]

    def _set_to_work(self) -> None:
        """Have one lane more at work, if there is work for it."""
        idle = [lane for lane in self._lanes if lane.writing is None]
        if idle and self._has_work(lane := min(idle, key=lambda lane: lane.failed_at)):
            if len(idle) == len(self._lanes):
                self._expire_in(self._timeout_s if self._spool is None else self._patience_s())
            lane.writing = asyncio.create_task(self._write(lane))

    def _has_work(self, lane: Lane) -> bool:
        """Whether a lane is to take what waits; what it leaves, another one that is at work takes."""
        if self._is_alone(lane):
            return bool(self._waiting)
        return (
            len(self._waiting) >= _WORTH_A_COMMIT
            and self._waiting.next_key() not in self._flying_keys()
            and lane.failed_at + _REST_S < asyncio.get_running_loop().time()
        )

    def _is_alone(self, lane: Lane) -> bool:
        return all(other is lane or other.writing is None for other in self._lanes)

    def _flying_keys(self) -> set[str]:
        return {row.key for row in self._flying() if row.key is not None}

    async def _write(self, lane: Lane) -> None:
        """Store what waits until there is no work left for this lane. One in trouble leaves it to one that is not."""
        pause_s = 0.0
        try:
            while self._has_work(lane):
                if await self._is_connected(lane) and await self._store_next(lane):
                    lane.failed_at, pause_s = -math.inf, 0.0
                    continue
                lane.failed_at = asyncio.get_running_loop().time()
                if self._is_alone(lane):
                    await asyncio.sleep(pause_s)
                    pause_s = min(max(pause_s * 2, _FIRST_PAUSE_S), _LAST_PAUSE_S)
        except Exception as error:
            log.exception("fault in the writer")
            self._waiting.refuse((*lane.flying, *self._waiting), error)
            lane.flying = []
        finally:
            lane.writing = None
            if not any(each.writing for each in self._lanes):
                self._expiry.cancel()

    async def _is_connected(self, lane: Lane) -> bool:
        """Whether there is a connection now. What has waited too long for one is given up."""
        try:
            await lane.connection.open()
        except (*CANT_CONNECT, *LOST, Refusal) as error:
            if self._is_alone(lane):
                self._do_without(error)
            return False
        return True

    def _do_without(self, error: Exception) -> None:
        """Give up what has waited too long for a connection, or everything when there won't be one."""
        if isinstance(error, CANT_CONNECT):
            patience_s = WRITE_PATIENCE_S if self._spool is None else self._patience_s()
            since = asyncio.get_running_loop().time() - patience_s
            if impatient := [row for row in self._waiting if row.submitted_at < since]:
                self._give_up(impatient, unavailable(error))
        else:
            refusal = error if isinstance(error, Refusal) else unavailable(error)
            self._give_up(list(self._waiting), refusal)

    async def _store_next(self, lane: Lane) -> bool:
        lane.flying = self._waiting.next_group(besides=self._flying_keys())
        is_well = not lane.flying or await self._store(lane, lane.flying)
        lane.flying = []
        return is_well

    async def _store(self, lane: Lane, group: Sequence[QueuedRow]) -> bool:
        """Store a group; if Postgres refuses it, its halves, and so on down to the row that is refused.

        False when it was not to be done now: what may be stored later waits again.
        """
        try:
            await self._insert(lane, group)
        except BAD_ROW as error:
            if len(group) > 1:
                middle = len(group) // 2
                halves = [await self._store(lane, half) for half in (group[:middle], group[middle:])]
                return all(halves)
            group[0].settle(self._refusal(error))
        except NotSentError:
            self._put_back(group)
            return False
        except LOST as error:
            self._lost(group, unavailable(error))
            return False
        except DatabaseUnavailableError as refusal:
            self._lost(group, refusal)
            return False
        return True

    async def _insert(self, lane: Lane, group: Sequence[QueuedRow]) -> None:
        loop = asyncio.get_running_loop()
        sent_at = -math.inf if any(row.receipt for row in group) else loop.time()
        new_keys = await lane.inserts.send(group)
        new = [row for row in group if row.key in new_keys]
        # One whose key was there may have come by another server a moment ago, and nobody told us.
        self.tell_stored([row.parsed for row in group], loop.time() - sent_at)
        for row in new:
            row.settle()
        if len(new) < len(group):
            await self._compare(lane, [row for row in group if row.key not in new_keys])

    async def _compare(self, lane: Lane, repeated: Sequence[QueuedRow]) -> None:
        """Acknowledge results whose keys were there, unless they came with another body then.

        Keys may have expired since: those results are stored after all.
        """
        digests = await lane.inserts.fetch_digests(repeated)
        for row in repeated:
            if row.key in digests:
                row.settle(None if digests[row.key] == row.digest else KeyReusedError())
        self._put_back(repeated)

    def _refusal(self, error: Exception) -> Refusal:
        """What is said of a row that Postgres refuses."""
        if isinstance(error, asyncpg.ForeignKeyViolationError):
            self._on_region_gone()
            return DatabaseUnavailableError("the region was removed just now; try again")
        if isinstance(error, asyncpg.IntegrityConstraintViolationError):
            return unavailable(error)
        log.warning("result refused by the database", error=in_brief(error))
        return BadInputError("the result holds what can't be stored")

    def _lost(self, group: Sequence[QueuedRow], refusal: DatabaseUnavailableError) -> None:
        """Nobody knows whether these were stored. With their receipts they are sent again, unless it is too late."""
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
            self._spool.is_away = True
            self._database.presence.look()  # so that readers are not the next to wait
            self._waiting.take_out(rows)
            keep(self._spool, rows)

    def _patience_s(self) -> float:
        """How long a result waits before it goes to the spool."""
        return min(_FLIGHT_S if self._flying() else _SPOOL_AFTER_S, self._timeout_s / 2)

    def _expire(self) -> None:
        """Refuse or spool those whose time has run out, and look again when the next one's has."""
        now = asyncio.get_running_loop().time()
        if self._spool is not None:
            since = now - self._patience_s()
            self._give_up(
                [row for row in self._waiting if row.submitted_at <= since],
                DatabaseUnavailableError(NO_ANSWER),
            )
            oldest = min((row.submitted_at for row in self._waiting), default=now)
            self._expire_in(max(oldest + self._patience_s() - now, _EXPIRY_STEP_S))
            return
        pending = (*self._flying(), *self._waiting)
        expired = [row for row in pending if row.submitted_at + self._timeout_s <= now]
        self._waiting.refuse(expired, DatabaseUnavailableError(NO_ANSWER))
        oldest = min((row.submitted_at for row in pending if not row.stored.done()), default=now)
        self._expire_in(max(oldest + self._timeout_s - now, _EXPIRY_STEP_S))

    def _expire_in(self, wait_s: float) -> None:
        self._expiry = asyncio.get_running_loop().call_later(wait_s, self._expire)
