"""The nodes of a Citus cluster, and statements on all of them."""

from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from orchboard.errors import SetupError
from orchboard.store.connection.types import Connection
from orchboard.store.sql_files import sql

NOT_SET_UP, NOT_ACTIVE = "is not set up", "is not active"
"""Problems of a worker, as `workers.sql` names them."""


class Node(Struct, frozen=True):
    """A node. group_id -- 0 for the coordinator; has_shards -- whether it may hold results; is_here -- the connection is to it."""

    name: str
    port: int
    group_id: int
    is_active: bool
    has_shards: bool
    is_here: bool

    @property
    def address(self) -> str:
        """Name and port."""
        return f"{self.name}:{self.port}"


class Worker(Struct, frozen=True):
    """A worker. shards -- number of those of the results on it; problem -- why it is of no use, or None"""

    name: str
    port: int
    shards: int
    problem: str | None

    @property
    def address(self) -> str:
        """Name and port."""
        return f"{self.name}:{self.port}"

    @property
    def is_set_up(self) -> bool:
        """Whether it has what the triggers of `events` need, as far as is known."""
        return self.problem != NOT_SET_UP


class NodeSettings(Struct, frozen=True):
    """Settings of a node."""

    name: str
    port: int
    max_prepared_transactions: int
    max_connections: int

    @property
    def problem(self) -> str | None:
        """What is wrong, or None. Each connection can prepare a transaction, and one too many fails."""
        if self.max_prepared_transactions >= self.max_connections:
            return None
        return (
            f"max_prepared_transactions is {self.max_prepared_transactions} on the node {self.name}:{self.port}, less than its "
            f"max_connections, {self.max_connections}"
        )


class NodeError(asyncpg.PostgresError):
    """A statement failed on a node of the cluster."""


async def is_distributed(connection: Connection) -> bool:
    """Whether the results are distributed over the nodes of a cluster."""
    return bool(await connection.fetchval(sql("is_distributed")))


async def statement(connection: Connection, name: str) -> str:
    """The statement `name`; for distributed results `name_on_nodes`."""
    return sql(f"{name}_on_nodes" if await is_distributed(connection) else name)


async def fetch_nodes(connection: Connection) -> list[Node]:
    """The nodes of the cluster, the coordinator first. Needs Citus."""
    return [Node(**dict(row)) for row in await connection.fetch(sql("cluster_nodes"))]


async def fetch_workers(connection: Connection) -> list[Worker]:
    """The workers of the cluster. Needs Citus and the schema."""
    return [Worker(**dict(row)) for row in await connection.fetch(sql("workers"))]


async def fetch_node_settings(connection: Connection) -> list[NodeSettings]:
    """The settings of the nodes that answer, the coordinator first. Needs Citus."""
    return [NodeSettings(**dict(row)) for row in await connection.fetch(sql("node_settings"))]


async def set_up_nodes(connection: Connection) -> None:
    """Create on every worker what the triggers of `events` need there. Can be repeated. Raises SetupError."""
    _require(await connection.fetch(sql("set_up_nodes")), "could not be set up")


async def add_node(connection: Connection, name: str, port: int) -> None:
    """Add a worker to a distributed board, or activate it, and set it up. Can be repeated. Raises SetupError."""
    _require(await connection.fetch(sql("prepare_node"), name, port), "could not be set up")
    try:
        await connection.fetch(sql("join_node"), name, port)
    except asyncpg.PostgresError as error:
        raise SetupError(f"Citus can't add the worker {name}:{port}: {error}") from error
    await set_up_nodes(connection)


async def clear_nodes(connection: Connection) -> None:
    """Delete on every worker what `set_up_nodes` created. Can be repeated. Raises SetupError."""
    await connection.execute(sql("drop_moved_shards"))  # their triggers depend on what is deleted
    _require(await connection.fetch(sql("clear_nodes")), "could not be cleared")


def _require(rows: Sequence[asyncpg.Record], failure: str) -> None:
    for row in rows:
        if not row["success"]:
            raise SetupError(
                f"the worker {row['name']}:{row['port']} {failure}: {row['result']}; repeat the command when that is repaired"
            )


def results_of(rows: Sequence[asyncpg.Record]) -> list[asyncpg.Record]:
    """The rows of a statement that ran on several nodes. Raises NodeError if one of them did not answer."""
    for row in rows:
        if not row["success"]:
            raise NodeError(f"a node of the cluster did not answer: {row['result']}")
    return list(rows)
