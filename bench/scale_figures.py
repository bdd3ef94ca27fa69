"""Sizes of the tables of a database, and the rates of retention, for `bench.scale`."""

import time
from datetime import timedelta

import asyncpg
from msgspec import Struct

from orchboard.store.retention.pruner import GREATEST_ID
from orchboard.store.rollups.verification import Verifier
from orchboard.store.sql_files import sql
from orchboard.window import EARLIEST

_TABLES = """
SELECT c.relname AS name, pg_relation_size(c.oid) AS heap, pg_indexes_size(c.oid) AS indexes,
       pg_table_size(c.oid) - pg_relation_size(c.oid) AS toast
FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
ORDER BY pg_total_relation_size(c.oid) DESC
"""
_INDEXES = "SELECT indexrelname AS name, pg_relation_size(indexrelid) AS size FROM pg_stat_user_indexes WHERE relname = 'events'"

# As many batches as a retention run deletes in a few seconds; undone afterwards.
_BATCHES, _BATCH = 10, 5_000

_MONTH = timedelta(days=30)


class Table(Struct, frozen=True):
    """Sizes in bytes. toast -- with the free space and visibility maps"""

    name: str
    heap: int
    indexes: int
    toast: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.heap + self.indexes + self.toast


class Sizes(Struct, frozen=True):
    """The tables of a database, largest first, and the indexes of `events`, in bytes."""

    tables: list[Table]
    indexes: dict[str, int]

    def lines(self, results: int) -> list[str]:
        """A line for each table that takes at least 0.1 bytes a result, and for each index of `events`."""
        large = [table for table in self.tables if table.total >= results / 10]
        lines = [
            f"{table.name}: {table.total / results:,.1f} bytes a result (rows {table.heap / results:,.1f}, "
            f"indexes {table.indexes / results:,.1f}, out of line {table.toast / results:,.1f})"
            for table in large
        ]
        return lines + [
            f"index {name}: {size / results:,.1f} bytes a result" for name, size in self.indexes.items()
        ]


async def fetch_sizes(connection: "asyncpg.Connection[asyncpg.Record]") -> Sizes:
    """The sizes of all tables in the current schema."""
    tables = [Table(**row) for row in await connection.fetch(_TABLES)]
    return Sizes(tables, {row["name"]: row["size"] for row in await connection.fetch(_INDEXES)})


async def deletion_rate(connection: "asyncpg.Connection[asyncpg.Record]") -> float:
    """How many results a second the batches of retention delete. The deletions are undone."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        before = await connection.fetchval("SELECT max(event_time) FROM events")
        await connection.execute("SET LOCAL orchboard.is_moving = 'on'")
        began_at, deleted, reached = time.monotonic(), 0, EARLIEST
        for _ in range(_BATCHES):
            row = await connection.fetchrow(sql("delete_results"), before, _BATCH, reached, GREATEST_ID)
            if row is None or not row["number"]:
                break
            deleted, reached = deleted + row["number"], row["reached"]
        return deleted / (time.monotonic() - began_at)
    finally:
        await transaction.rollback()


async def verification_rate(connection: "asyncpg.Connection[asyncpg.Record]") -> float:
    """How many results a second retention verifies before it deletes them, over a month."""
    last = await connection.fetchval("SELECT max(event_time) FROM events")
    since, until = last - 2 * _MONTH, last - _MONTH
    number = await connection.fetchval(
        "SELECT count(*) FROM events WHERE event_time >= $1 AND event_time < $2", since, until
    )
    began_at = time.monotonic()
    await Verifier(connection).verify(since, until)
    return float(number / (time.monotonic() - began_at))
