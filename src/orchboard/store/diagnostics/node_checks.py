"""Checks of a board that is distributed over the nodes of a Citus cluster."""

import asyncpg

from orchboard.store.citus.nodes import is_distributed
from orchboard.store.connection.types import Connection
from orchboard.store.diagnostics.findings import Finding, Level
from orchboard.store.sql_files import sql


async def check_nodes(connection: Connection, _: str) -> list[Finding]:
    """Whether every worker answers and is set up. Empty for a plain board."""
    if not await is_distributed(connection):
        return []
    rows = await connection.fetch(sql("diagnosis_nodes"))
    holding = [row for row in rows if row["shards"]]
    shards = sum(row["shards"] for row in rows)
    spread = Finding(
        Level.OK,
        "nodes",
        f"the results are distributed in {shards} shards over {len(holding)} of {len(rows)} workers",
    )
    return [spread, *(_problem(row) for row in rows if row["problem"])]


def _problem(row: asyncpg.Record) -> Finding:
    remedy = "Start it, or run citus_activate_node or citus_remove_node on the coordinator."
    if row["problem"] == "is not set up":
        remedy = "Stop the servers and run `orchboard distribute`, which sets it up."
    level = Level.ERROR if row["shards"] else Level.WARNING
    return Finding(level, "nodes", f"the worker {row['name']}:{row['port']} {row['problem']}", remedy)
