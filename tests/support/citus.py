"""Databases on every node of the Citus cluster at CITUS_URL."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg

from orchboard.store.citus.distribution import Cluster, Distribution, find_cluster
from orchboard.store.postgres.database import Database
from tests.support.database import execute, run, with_database

CITUS_URL = "CITUS_URL"

RESULTS = "SELECT md5(string_agg(r::text, '|' ORDER BY id)) FROM (SELECT * FROM result_details) r"
"""A digest of all results."""

_names = (f"test_{os.getpid()}_{number}" for number in itertools.count())


class CitusNode(NamedTuple):
    """A node of the cluster. group_id -- 0 for the coordinator"""

    name: str
    port: int
    group_id: int

    def url(self, database: str) -> str:
        """The URL of a database on this node, of the same user."""
        parts = urlsplit(database)
        login, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{login}{at}{self.name}:{self.port}").geturl()


class CitusCluster:
    """The cluster at a URL: its coordinator knows the workers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.nodes = run(_fetch_nodes(url))

    @property
    def workers(self) -> list[CitusNode]:
        return [node for node in self.nodes if node.group_id]

    def new_database(self, *, workers: int | None = None) -> Iterator[str]:
        """The URL of a new database on the coordinator, which the first `workers` workers know, or all; it has no schema."""
        name = next(_names)
        for node in self.nodes:
            url = node.url(self.url)
            run(
                execute(
                    url, "SET citus.enable_create_database_propagation = off", f'CREATE DATABASE "{name}"'
                )
            )
            run(execute(with_database(url, name), "CREATE EXTENSION citus"))
        coordinator = with_database(self.nodes[0].url(self.url), name)
        here = self.nodes[0]
        run(
            execute(
                coordinator,
                f"SELECT citus_set_coordinator_host('{here.name}', {here.port})",
                *(f"SELECT citus_add_node('{node.name}', {node.port})" for node in self.workers[:workers]),
            )
        )
        yield coordinator
        for node in self.nodes:
            run(_roll_back_prepared(with_database(node.url(self.url), name)))
        for node in self.nodes:
            run(execute(node.url(self.url), f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


async def _roll_back_prepared(url: str) -> None:
    """Roll back what a test has left when it ended connections during two-phase commits."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
        for (gid,) in rows:
            await connection.execute(f"ROLLBACK PREPARED '{gid}'")
    finally:
        await connection.close()


async def _fetch_nodes(url: str) -> list[CitusNode]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT nodename, nodeport, groupid FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid"
        )
    finally:
        await connection.close()
    nodes = [CitusNode(*row) for row in rows]
    assert nodes and not nodes[0].group_id, f"{CITUS_URL} is not a coordinator that knows its own address"
    assert len(nodes) > 2, f"{CITUS_URL} needs two workers"
    return nodes


@contextmanager
def away(node: CitusNode, url: str) -> Iterator[None]:
    """A node whose database accepts no connection, and has ended all."""
    name = url.rpartition("/")[2]
    outside = with_database(node.url(url), "postgres")
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    run(execute(outside, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false', end))
    try:
        yield
    finally:
        run(execute(outside, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))


async def migrate(url: str) -> None:
    database = Database(url, connections=1, timeout_s=60)
    await database.open()
    await database.close()


async def distribute(url: str, *, shards: int = 8, back: bool = False) -> Cluster:
    """Distribute the results of a database, or move them back; returns what was found before."""
    database = Database(url, connections=2, timeout_s=60)
    connection = await database.connect()
    try:
        cluster = await find_cluster(connection)
        distribution = Distribution(connection, database.connect)
        if back:
            await distribution.undistribute(cluster, lambda *_: None)
        else:
            await distribution.distribute(cluster, shards, lambda *_: None)
        return cluster
    finally:
        connection.terminate()
        await database.close()
