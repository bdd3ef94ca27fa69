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
from orchboard.store.kept_connection import KeptConnection, NotSentError
from orchboard.store.queries import sql
from orchboard.store.write_queue import QueuedRow, WriteQueue

log = structlog.get_logger(__name__)

# How long what waits may still be stored when the server stops.
FLUSH_S = 2.0

# How often, at most, it is looked whose time has run out.
_EXPIRY_STEP_S = 0.05

# Between attempts to connect: doubled from the first to the last.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.05, 0.5


class Writer:
    """Stores results in the order they came, in groups: one at a time, on a connection of its own.

    Nothing waits for a group to fill. With no statement under way a result is sent at once; those that
    come while one is under way are the next group.

    on_region_gone -- called when a region was removed from the database since its id was read
    tell_stored -- called with what was stored, or may have been, and how long that took at most, in seconds,
    before anybody is told
    """

    def __init__(self, database: Database, *, on_region_gone: Callable[[], None]) -> None:
        self._connection = KeptConnection(database)
        self._timeout_s = database.timeout_s
        self._on_region_gone = on_region_gone
        self.tell_stored: Callable[[Sequence[ParsedStats], float], None] = lambda *_: None
        self._waiting = WriteQueue()
        self._flying: list[QueuedRow] = []
        self._writing: asyncio.Task[None] | None = None
        self._closed = False

    def submit(
        self,
        parsed: ParsedStats,
        region_id: int,
        key: str | None,
        digest: bytes | None,
        tester_id: int | None = None,
    ) -> asyncio.Future[ParsedStats]:
        """Queue one result; done after the commit that stores it.

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
        self._waiting.append(row)
        if self._writing is None:
            self._writing = loop.create_task(self._write())
        return row.stored

    async def close(self) -> None:
        """Store what waits within FLUSH_S, refuse the rest, and close the connection."""
        self._closed = True
        if self._writing is not None:
            _, late = await asyncio.wait([self._writing], timeout=FLUSH_S)
            for task in late:
                task.cancel()
                await asyncio.wait([task])
        self._waiting.refuse((*self._flying, *self._waiting), DatabaseUnavailableError(NO_ANSWER))
        await self._connection.close()

    async def _write(self) -> None:
        """Store what waits until nothing does."""
        self._expire_in(self._timeout_s)
        pause_s = _FIRST_PAUSE_S
        try:
            while self._waiting:
                if await self._is_connected():
                    self._flying = self._waiting.next_group()
                    if self._flying:
                        await self._store(self._flying)
                    self._flying = []
                    pause_s = _FIRST_PAUSE_S
                else:
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _LAST_PAUSE_S)
        except Exception as error:
            log.exception("fault in the writer")
            self._waiting.refuse((*self._flying, *self._waiting), error)
        finally:
            self._writing = None
            self._expiry.cancel()

    async def _is_connected(self) -> bool:
        """Whether there is a connection now. What has waited too long for one is refused."""
        try:
            await self._connection.open()
        except CANT_CONNECT as error:
            since = asyncio.get_running_loop().time() - WRITE_PATIENCE_S
            if impatient := [row for row in self._waiting if row.submitted_at < since]:
                self._waiting.refuse(impatient, unavailable(error))
        except LOST as error:
            self._waiting.refuse(self._waiting, unavailable(error))
        except Refusal as refusal:
            self._waiting.refuse(self._waiting, refusal)
        else:
            return True
        return False

    async def _store(self, group: Sequence[QueuedRow]) -> None:
        """Store a group; if Postgres refuses it, its halves, and so on down to the row that is refused."""
        try:
            await self._insert(group)
        except BAD_ROW as error:
            if len(group) == 1:
                group[0].settle(self._refusal(error))
            else:
                middle = len(group) // 2
                await self._store(group[:middle])
                await self._store(group[middle:])
        except NotSentError:
            self._put_back(group)
        except LOST as error:
            self._lost(group, unavailable(error))
        except DatabaseUnavailableError as refusal:
            self._lost(group, refusal)

    async def _insert(self, group: Sequence[QueuedRow]) -> None:
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        inserted = await self._fetch(
            "insert_stats",
            group,
            [row.parsed.orchestrator for row in group],
            [row.region_id for row in group],
            [row.parsed.payload.decode() for row in group],
            [row.key for row in group],
            [row.digest for row in group],
            [row.tester_id for row in group],
        )
        new_keys = {None, *(key for (key,) in inserted)}
        new = [row for row in group if row.key in new_keys]
        # One whose key was there may have come by another server a moment ago, and nobody told us.
        self.tell_stored([row.parsed for row in group], loop.time() - sent_at)
        for row in new:
            row.settle()
        if len(new) < len(group):
            await self._compare([row for row in group if row.key not in new_keys])

    async def _compare(self, repeated: Sequence[QueuedRow]) -> None:
        """Acknowledge results whose keys were there, unless they came with another body then.

        Keys may have expired since: those results are stored after all.
        """
        rows = await self._fetch("body_digests", repeated, [row.key for row in repeated])
        digests = {row["key"]: row["body_digest"] for row in rows}
        for row in repeated:
            if row.key in digests:
                same = digests[row.key] == row.digest
                row.settle(
                    None
                    if same
                    else KeyReusedError("this Idempotency-Key (or webhook-id) was used for another body")
                )
        self._put_back(repeated)

    async def _fetch(self, name: str, group: Sequence[QueuedRow], *arrays: object) -> list[asyncpg.Record]:
        youngest = max(row.submitted_at for row in group)
        async with asyncio.timeout_at(youngest + self._timeout_s):
            return await self._connection.fetch(sql(name), *arrays)

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
        """Nobody knows whether these were stored. One with a key can't be stored twice, so it is sent again, once."""
        self.tell_stored([row.parsed for row in group], math.inf)
        for row in group:
            if row.key is None or row.lost:
                row.settle(refusal)
            row.lost = True
        self._put_back(group)

    def _put_back(self, group: Sequence[QueuedRow]) -> None:
        self._waiting.put_back([row for row in group if not row.stored.done()])

    def _expire(self) -> None:
        """Refuse those whose time has run out, and look again when the next one's has."""
        now = asyncio.get_running_loop().time()
        pending = (*self._flying, *self._waiting)
        expired = [row for row in pending if row.submitted_at + self._timeout_s <= now]
        self._waiting.refuse(expired, DatabaseUnavailableError(NO_ANSWER))
        oldest = min((row.submitted_at for row in pending if not row.stored.done()), default=now)
        self._expire_in(max(oldest + self._timeout_s - now, _EXPIRY_STEP_S))

    def _expire_in(self, wait_s: float) -> None:
        self._expiry = asyncio.get_running_loop().call_later(wait_s, self._expire)
