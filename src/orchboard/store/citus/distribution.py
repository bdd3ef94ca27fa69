"""Distribution: makes a plain board a distributed one, and back. Every step can be interrupted and repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import asyncpg
from msgspec import Struct

from orchboard.errors import SetupError
from orchboard.runtime.tasks import cancel_and_wait
from orchboard.store.citus.changes import NodeChanges
from orchboard.store.citus.nodes import (
    Node,
    add_node,
    clear_nodes,
    fetch_node_settings,
    fetch_nodes,
    fetch_workers,
    is_distributed,
    set_up_nodes,
)
from orchboard.store.connection.types import Connect, Connection
from orchboard.store.sql_files import sql

DEFAULT_SHARDS = 32
MAX_SHARDS = 1024

OLDEST_CITUS = 12

Report = Callable[[int, int], None]
"""Called with the number of results that are copied and their total."""

_POLL_S = 1.0

# Number of other sessions that a refusal names.
_NAMED = 3


class Cluster(Struct, frozen=True):
    """A cluster, as a command found it.

    results -- number of results; has_local_copy -- of results that are distributed; is_distributed -- whether they are
    is_known -- whether Citus manages their table, also undivided after an interrupted run
    shards -- number of parts of the results; 0 if they are not distributed
    not_set_up -- addresses of workers that lack what the triggers need
    unsuited -- settings of nodes that are too small, as sentences
    """

    version: str
    nodes: tuple[Node, ...]
    results: int
    has_local_copy: bool
    is_distributed: bool
    is_known: bool
    shards: int
    not_set_up: tuple[str, ...]
    unsuited: tuple[str, ...]

    def require_suited(self, shards: int | None) -> None:
        """Raise SetupError if the results can't be distributed in this number of shards. None: any number"""
        _require(
            not self.is_distributed or shards in (None, self.shards),
            f"the results are distributed in {self.shards} shards already; run `orchboard distribute --back` first to change that",
        )
        _require(
            self.is_distributed or not self.unsuited,
            f"{'; '.join(self.unsuited)}: raise it there, restart the node, and repeat; docs/citus.md",
        )

    @property
    def workers(self) -> list[Node]:
        """The nodes that may hold results."""
        return [node for node in self.nodes if node.has_shards and node.is_active]


async def find_cluster(connection: Connection, *, added: str = "") -> Cluster:
    """The cluster of a database. Raises SetupError, saying what to do, when its results can't be distributed or moved back.

    added -- the address of a node that will be added, and that may be inactive
    """
    row = await connection.fetchrow(sql("cluster"))
    assert row is not None  # noqa: S101 - the statement always returns one
    _require(
        row["extension"] is not None,
        "this database has no extension citus: install Citus on every node, run CREATE EXTENSION citus, and add the nodes; "
        "docs/citus.md",
    )
    _require(
        int(row["extension"].split(".")[0].split("-")[0]) >= OLDEST_CITUS,
        f"Citus {row['extension']} is too old: use {OLDEST_CITUS} or newer",
    )
    _require(row["is_superuser"], "this needs a superuser, because it sets up tables on every node")
    nodes = await fetch_nodes(connection)
    here = [node for node in nodes if node.is_here]
    _require(
        here and here[0].group_id == 0,
        "this is not the coordinator of a cluster that knows it: set POSTGRES to the coordinator, and run "
        "SELECT citus_set_coordinator_host('its name for the workers', its port) there",
    )
    _require(
        any(node.has_shards and node.is_active for node in nodes),
        "no node of the cluster may hold results: run SELECT citus_add_node('name', port) for each worker",
    )
    if silent := [node.address for node in nodes if not node.is_active and node.address != added]:
        raise SetupError(
            f"nodes of the cluster are not active: {', '.join(silent)}; run `orchboard distribute --add {silent[0]}` or "
            "citus_remove_node"
        )
    _require(
        not row["is_moving"],
        "the results of the reference server are still being moved into the new table: run a server until `orchboard doctor` "
        "reports no more of them, then repeat",
    )
    _require(not row["others"], _describe_others(row["others"]))
    shards = await connection.fetchval(sql("number_of_shards"))
    workers = await fetch_workers(connection)
    settings = [each.problem for each in await fetch_node_settings(connection)]
    return Cluster(
        version=row["extension"],
        nodes=tuple(nodes),
        results=row["rows"],
        has_local_copy=bool(shards) and row["local_bytes"] > 0,
        is_distributed=bool(shards),
        is_known=await is_distributed(connection),
        shards=shards,
        not_set_up=tuple(worker.address for worker in workers if not worker.is_set_up),
        unsuited=tuple(problem for problem in settings if problem),
    )


def _describe_others(others: Sequence[str]) -> str:
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    return (
        f"other programs use the database ({len(others)} {'connection' if len(others) == 1 else 'connections'}): "
        f"{', '.join(others[:_NAMED])}{more}; stop the servers, and repeat; they read at their start where results are"
    )


def _require(condition: object, sentence: str) -> None:
    if not condition:
        raise SetupError(sentence)


class Distribution:
    """Moves the results of a database.

    connect -- opens further connections to it
    """

    def __init__(self, connection: Connection, connect: Connect) -> None:
        self._connection = connection
        self._connect = connect

    async def distribute(self, cluster: Cluster, shards: int | None, report: Report) -> None:
        """Distribute the results by orchestrator; regions and job types are copied to every node.

        Results that are distributed already stay where they are: nodes that were added since are set up, and what an interrupted run left
        is finished. shards -- their number; None for DEFAULT_SHARDS, or as they are. Raises SetupError.
        """
        cluster.require_suited(shards)
        await set_up_nodes(self._connection)
        if not cluster.is_distributed:
            async with self._transaction():
                await self._connection.execute(sql("make_reference_tables"))
            await self._copy(cluster, sql("distribute_results"), shards or DEFAULT_SHARDS, report=report)
        if not cluster.is_distributed or cluster.has_local_copy:
            async with self._transaction():
                await self._connection.execute(sql("truncate_local_results"))
                await self._connection.execute(sql("forget_own_invalidations"))
        await self._connection.execute(sql("analyze_results"))

    async def add(self, cluster: Cluster, name: str, port: int) -> None:
        """Add a worker to the cluster of distributed results, without results yet. Raises SetupError."""
        _require(
            cluster.is_distributed,
            f"the results are not distributed: run SELECT citus_add_node('{name}', {port}), then `orchboard distribute`",
        )
        await add_node(self._connection, name, port)

    async def undistribute(self, cluster: Cluster, report: Report) -> None:
        """Move all results back to this server. Raises SetupError."""
        if cluster.is_known:
            await NodeChanges(self._connection.fetch).collect()
            await self._copy(
                cluster, sql("undistribute_results"), then=[sql("forget_reservations")], report=report
            )
            await self._connection.execute(sql("analyze_results"))
        await clear_nodes(self._connection)

    def _transaction(self) -> _Settings:
        return _Settings(self._connection)

    async def _copy(
        self, cluster: Cluster, statement: str, *arguments: object, then: Sequence[str] = (), report: Report
    ) -> None:
        """Run a statement that copies all results, and others in its transaction."""
        reporting = asyncio.create_task(self._report(cluster.results, report))
        try:
            async with self._transaction():
                await self._connection.execute(statement, *arguments)
                for each in (*then, sql("forget_own_invalidations")):
                    await self._connection.execute(each)
            report(cluster.results, cluster.results)
        finally:
            await cancel_and_wait([reporting])

    async def _report(self, total: int, report: Report) -> None:
        """Report how many results are copied, every second; what can't be counted is not reported."""
        connection = await self._connect()
        try:
            while True:
                await asyncio.sleep(_POLL_S)
                number = await connection.fetchval(sql("copied_results"))
                if number:
                    report(min(number, total), total)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return
        finally:
            connection.terminate()


class _Settings:
    """A transaction in which Citus copies tables with triggers, and these do not take copied results for late ones.

    Privileges on views are kept.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._transaction = connection.transaction()
        self._privileges: list[str] = []

    async def __aenter__(self) -> None:
        await self._transaction.start()
        await self._connection.execute(sql("distribution_settings"))
        self._privileges = [row["statement"] for row in await self._connection.fetch(sql("view_privileges"))]

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None:
            for statement in self._privileges:
                await self._connection.execute(statement)
            await self._transaction.commit()
        elif not self._connection.is_closed():
            await self._transaction.rollback()
