"""Taking a database over: old results are moved and what is over is summed up, a day after the other, newest first."""

from collections.abc import Callable
from datetime import timedelta

import asyncpg
from msgspec import Struct

from orchboard.store.connection.types import Connection
from orchboard.store.legacy_import.table_mover import TableMover
from orchboard.store.rollups.buckets import LEVELS, Span
from orchboard.store.rollups.builder import Sealer
from orchboard.store.sql_files import sql
from orchboard.window import EARLIEST

_DAY = timedelta(days=1)


class BackfillProgress(Struct, frozen=True):
    """How far it is; numbers of results are about right only.

    results -- all there are; unmoved -- of these, those that wait to be moved; summed_up -- those in spans that are over
    is_settled -- whether the move is ended
    is_done -- whether it is, and nothing waits to be summed up but what is just over
    """

    results: int
    unmoved: int
    summed_up: int
    is_settled: bool
    is_done: bool

    @property
    def says(self) -> str:
        """The same in words."""
        if self.unmoved:
            moved = f"{self.unmoved:,} of about {self.results:,} results are not moved yet"
        elif not self.is_settled:
            moved = f"all of about {self.results:,} results are moved, the old table is not dropped yet"
        else:
            moved = f"about {self.results:,} results"
        rest = "up to date" if self.is_done else "in progress"
        return f"{moved}; {self.summed_up:,} are in rollups ({rest})"


async def fetch_progress(connection: Connection) -> BackfillProgress:
    """How far a database of the latest version is taken over. Changes nothing."""
    row = await connection.fetchrow(sql("takeover"), [level.number for level in LEVELS if level.kept is None])
    assert row is not None  # noqa: S101 - it always has one
    is_done = row["is_settled"] and row["is_summed_up"]
    return BackfillProgress(row["results"], row["unmoved"], row["summed_up"], row["is_settled"], is_done)


async def backfill(
    connection: Connection,
    sealer: Sealer,
    *,
    rest: float = 0.0,
    on_batch: Callable[[int], None] | None = None,
    on_span: Callable[[Span], None] | None = None,
) -> bool:
    """Do what is left to do; whether the move is ended: something else may hold the old table.

    Right whenever it is broken off, and however many do it at once.

    connection -- of its own; sealer -- on that
    rest -- how long to pause after each batch that was moved, as a multiple of what it took
    on_batch, on_span -- told of each batch, by its size, and of each span that was summed up
    """
    mover = TableMover(connection, on_batch=on_batch, rest=rest)
    try:
        if await mover.is_moving():
            await mover.begin()
            await sealer.run(on_span, since=mover.reached)
        while await mover.is_moving():
            await mover.move(_DAY)
            await sealer.run(on_span, since=mover.reached)
            if mover.reached == EARLIEST and not await mover.finish():
                return False
    except asyncpg.UndefinedTableError:  # another one has just ended the move
        return await backfill(connection, sealer, rest=rest, on_batch=on_batch, on_span=on_span)
    await sealer.run(on_span)
    return True
