"""Moving: the results of a database that was taken over go, in batches, where their numbers have columns."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import asyncpg

from orchboard.store.connection.types import Connection
from orchboard.store.postgres.watchdog import background_transaction
from orchboard.store.sql_files import sql
from orchboard.window import EARLIEST, LATEST

BATCH = 5000

# Results moved away leave holes at the end of the old table's indexes, where the planner looks each time it plans: with
# millions of them every answer took 0.3 s longer. Cleaning up also gives the room back.
_CLEAN_EVERY = 1_000_000

# Who wants a table for itself makes everybody behind it wait as long as it waits. Less than `deadlock_timeout`, so
# that it is never a reader that is refused.
_LOCK_WAIT = "200ms"


class TableMover:
    """Moves old results, newest first, a batch a transaction. Killed, it loses the batch it was at.

    Several may be at it at once. What was moved is answered faster at once; what was not is answered too.

    connection -- of its own
    on_batch -- told after each batch how many rows it had
    rest -- how long to pause after each batch, as a multiple of what it took, for the sake of others
    reached -- from where on everything that this one found was moved; EARLIEST: all of it
    """

    def __init__(
        self, connection: Connection, *, on_batch: Callable[[int], None] | None = None, rest: float = 0.0
    ) -> None:
        self._connection = connection
        self._on_batch = on_batch
        self._rest = rest
        self._before = self.reached = LATEST
        self._has_seen_all = True
        self._not_cleaned = 0

    async def is_moving(self) -> bool:
        """Whether there is a table of old results."""
        return bool(await self._connection.fetchval(sql("is_moving")))

    async def begin(self) -> None:
        """Go on where the last one was, and have the planner know how much there is."""
        row = await self._connection.fetchrow(sql("move_begin"))
        assert row is not None  # noqa: S101 - it always has one
        self._before = self.reached = row["reached"] or LATEST
        self._has_seen_all = row["reached"] is None
        if not row["is_counted"]:
            await self._connection.execute(sql("analyze_events_before"))

    async def move(self, length: timedelta) -> None:
        """Move the next results: at least so much time of them, or all that are left."""
        loop, down_to = asyncio.get_running_loop(), LATEST
        while self.reached > EARLIEST:
            began_at = loop.time()
            async with background_transaction(self._connection):
                # A crash may cost the last batches whole: they are then where they were, and moved again.
                # Moving changes no answer, so no rollup is invalidated.
                await self._connection.execute(
                    "SET LOCAL synchronous_commit = off; SET LOCAL orchboard.is_moving = 'on'"
                )
                row = await self._connection.fetchrow(sql("move_results"), self._before, BATCH)
            assert row is not None  # noqa: S101 - it counts, so it always has one
            if not row["number"]:
                await self._clean()
                if self._has_seen_all:
                    self.reached = EARLIEST
                # What one that was killed had begun, behind the one that passed it.
                self._before, self._has_seen_all = LATEST, True
                continue
            self._before = row["reached"]
            self.reached = min(self.reached, self._before)
            self._not_cleaned += row["number"]
            if self._on_batch is not None:
                self._on_batch(row["number"])
            if self._not_cleaned >= _CLEAN_EVERY:
                await self._clean()
            await asyncio.sleep(self._rest * (loop.time() - began_at))
            if down_to == LATEST:
                down_to = max(self.reached, EARLIEST + length) - length
            elif self.reached <= down_to:
                return

    async def _clean(self) -> None:
        self._not_cleaned = 0
        await self._connection.execute(sql("vacuum_events_before"))

    async def finish(self) -> bool:
        """End the move if nothing is left and nobody holds the tables; whether it is ended."""
        try:
            async with self._connection.transaction():
                await self._connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
                settled = bool(await self._connection.fetchval(sql("settle_results")))
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            return False
        if settled:
            await self._connection.execute(sql("vacuum_events"))
        return settled
