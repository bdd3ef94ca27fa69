"""Moves results in batches from `events_before`, the table of the reference server, to `events`."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import asyncpg

from orchboard import limits
from orchboard.store.connection.types import Connection
from orchboard.store.postgres.watchdog import background_transaction
from orchboard.store.sql_files import sql
from orchboard.window import EARLIEST, LATEST

# The planner reads the ends of the old table's indexes. Millions of dead entries there added 0.3 s to every query, so the
# old table is vacuumed after so many results. This also returns disk space.
_VACUUM_EVERY = 1_000_000


class TableMover:
    """Moves results, newest first, one batch per transaction. A crash loses at most the last batches, which move again.

    Several processes may move at once. Queries read both tables, and are faster on moved results.

    connection -- used by this object only
    on_batch -- called with the number of rows of each batch
    rest -- the pause after each batch, as a multiple of the batch's duration
    reached -- all results received since then are moved, as far as this object found them; EARLIEST: all results
    """

    def __init__(
        self, connection: Connection, *, on_batch: Callable[[int], None] | None = None, rest: float = 0.0
    ) -> None:
        self._connection = connection
        self._on_batch = on_batch
        self._rest = rest
        self._before = self.reached = LATEST
        self._is_full_pass = True
        self._rows_since_vacuum = 0

    async def has_legacy_table(self) -> bool:
        """Whether the table `events_before` exists."""
        return bool(await self._connection.fetchval(sql("has_legacy_table")))

    async def begin(self) -> None:
        """Continue where an earlier move stopped, and update the planner's statistics if there are none."""
        row = await self._connection.fetchrow(sql("move_position"))
        assert row is not None  # noqa: S101 - the statement returns one row
        self._before = self.reached = row["reached"] or LATEST
        self._is_full_pass = row["reached"] is None
        if not row["has_statistics"]:
            await self._connection.execute(sql("analyze_events_before"))

    async def move(self, length: timedelta) -> None:
        """Move the next results, at least `length` of receipt time, or all remaining ones."""
        loop, down_to = asyncio.get_running_loop(), LATEST
        while self.reached > EARLIEST:
            began_at = loop.time()
            async with background_transaction(self._connection):
                # A crash of Postgres may undo the last batches, which then move again.
                # With is_moving the triggers do not invalidate rollups: the results stay the same.
                await self._connection.execute(
                    "SET LOCAL synchronous_commit = off; SET LOCAL orchboard.is_moving = 'on'"
                )
                row = await self._connection.fetchrow(
                    sql("move_results"), self._before, limits.MAX_MOVED_ROWS
                )
            assert row is not None  # noqa: S101 - the statement counts, so it returns one row
            if not row["number"]:
                await self._vacuum()
                if self._is_full_pass:
                    self.reached = EARLIEST
                # Start again from the end: another process may have locked rows in passing and been killed.
                self._before, self._is_full_pass = LATEST, True
                continue
            self._before = row["reached"]
            self.reached = min(self.reached, self._before)
            self._rows_since_vacuum += row["number"]
            if self._on_batch is not None:
                self._on_batch(row["number"])
            if self._rows_since_vacuum >= _VACUUM_EVERY:
                await self._vacuum()
            await asyncio.sleep(self._rest * (loop.time() - began_at))
            if down_to == LATEST:
                down_to = max(self.reached, EARLIEST + length) - length
            elif self.reached <= down_to:
                return

    async def _vacuum(self) -> None:
        self._rows_since_vacuum = 0
        await self._connection.execute(sql("vacuum_events_before"))

    async def finish(self) -> bool:
        """Drop the old table if it is empty and no other session has locked the tables; True if it is dropped."""
        try:
            async with self._connection.transaction():
                await self._connection.execute(
                    f"SET LOCAL lock_timeout = {limits.TABLE_MOVE_LOCK_S * 1000:.0f}"
                )
                is_finished = bool(await self._connection.fetchval(sql("finish_table_move")))
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            return False
        if is_finished:
            await self._connection.execute(sql("vacuum_events"))
        return is_finished
