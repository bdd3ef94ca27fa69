"""Checks of a board that is distributed over the nodes of a Citus cluster."""

from orchboard.store.citus.nodes import (
    NOT_ACTIVE,
    NOT_SET_UP,
    NodeSettings,
    Worker,
    fetch_node_settings,
    fetch_workers,
    is_distributed,
)
from orchboard.store.connection.types import Connection
from orchboard.store.diagnostics.findings import Finding, Level


async def check_nodes(connection: Connection, _: str) -> list[Finding]:
    """Whether every worker answers and is set up, and the settings of all nodes. Empty for a plain board."""
    if not await is_distributed(connection):
        return []
    workers = await fetch_workers(connection)
    holding = [worker for worker in workers if worker.shards]
    shards = sum(worker.shards for worker in workers)
    spread = Finding(
        Level.OK,
        "nodes",
        f"the results are distributed in {shards} shards over {len(holding)} of {len(workers)} workers",
    )
    settings = await fetch_node_settings(connection)
    return [spread, *find_problems(workers), *find_small_settings(settings)]


def find_problems(workers: list[Worker]) -> list[Finding]:
    """What keeps workers from working, and its remedy. Citus does not remove a node with shards."""
    return [
        Finding(
            Level.ERROR if worker.shards else Level.WARNING,
            "nodes",
            f"the worker {worker.address} {worker.problem}",
            _remedy(worker),
        )
        for worker in workers
        if worker.problem
    ]


def _remedy(worker: Worker) -> str:
    if worker.problem == NOT_SET_UP:
        return "Stop the servers and run `orchboard distribute`, which sets it up."
    remedy = "Start it: servers need an answer from every worker."
    if worker.problem == NOT_ACTIVE:
        remedy = f"Start it, stop the servers, and run `orchboard distribute --add {worker.address}`, which activates it."
    if worker.shards:
        return remedy
    return f"{remedy} Or run SELECT citus_remove_node('{worker.name}', {worker.port}) on the coordinator: it has no results."


def find_small_settings(settings: list[NodeSettings]) -> list[Finding]:
    """A finding for each node with a setting that is too small."""
    remedy = "Raise it in the node's postgresql.conf, and restart the node."
    return [
        Finding(
            Level.WARNING,
            "nodes",
            f"{problem}: under load, results that a transaction stores on several nodes fail",
            remedy,
        )
        for each in settings
        if (problem := each.problem)
    ]
