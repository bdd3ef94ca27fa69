"""The backfill of an existing database: moves its results and builds their rollups, day by day, newest first."""

from collections.abc import Callable
from datetime import timedelta

import asyncpg
from msgspec import Struct

from orchboard.store.connection.types import Connection
from orchboard.store.legacy_import.table_mover import TableMover
from orchboard.store.rollups.buckets import GRANULARITIES, Bucket
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.sql_files import sql
from orchboard.window import EARLIEST

_DAY = timedelta(days=1)


class BackfillProgress(Struct, frozen=True):
    """The progress of a backfill. Numbers of results are estimates from PostgreSQL's statistics.

    The field names are part of the output of `orchboard migrate version --json`.

    results -- all results; unmoved -- those in the old table; summed_up -- those in rollups
    is_settled -- the old table is dropped
    is_done -- it is, and every rollup bucket that ended over five minutes ago is built
    """

    results: int
    unmoved: int
    summed_up: int
    is_settled: bool
    is_done: bool

    @property
    def summary(self) -> str:
        """The progress as a sentence."""
        if self.unmoved:
            moved = f"{self.unmoved:,} of about {self.results:,} results are not moved yet"
        elif not self.is_settled:
            moved = f"all of about {self.results:,} results are moved, the old table is not dropped yet"
        else:
            moved = f"about {self.results:,} results"
        rest = "up to date" if self.is_done else "in progress"
        return f"{moved}; {self.summed_up:,} are in rollups ({rest})"


async def fetch_progress(connection: Connection) -> BackfillProgress:
    """The progress in a database of the latest version. Changes nothing."""
    row = await connection.fetchrow(
        sql("backfill_progress"),
        [granularity.number for granularity in GRANULARITIES if granularity.retention is None],
    )
    assert row is not None  # noqa: S101 - the statement returns one row
    is_done = row["is_settled"] and row["is_summed_up"]
    return BackfillProgress(row["results"], row["unmoved"], row["summed_up"], row["is_settled"], is_done)


async def backfill(
    connection: Connection,
    builder: RollupBuilder,
    *,
    rest: float = 0.0,
    on_batch: Callable[[int], None] | None = None,
    on_bucket: Callable[[Bucket], None] | None = None,
) -> bool:
    """Move all remaining results and build all due rollups. False if the old table could not be dropped.

    May be interrupted at any point, and may run in several processes at once.

    connection -- used by this call only; builder -- a builder on the same connection
    rest -- the pause after each moved batch, as a multiple of the batch's duration
    on_batch -- called with the number of results of each moved batch
    on_bucket -- called with each built bucket
    """
    mover = TableMover(connection, on_batch=on_batch, rest=rest)
    try:
        if await mover.has_legacy_table():
            await mover.begin()
            await builder.run(on_bucket, since=mover.reached)
        while await mover.has_legacy_table():
            await mover.move(_DAY)
            await builder.run(on_bucket, since=mover.reached)
            if mover.reached == EARLIEST and not await mover.finish():
                return False
    except asyncpg.UndefinedTableError:  # another process has dropped the old table
        return await backfill(connection, builder, rest=rest, on_batch=on_batch, on_bucket=on_bucket)
    await builder.run(on_bucket)
    return True
