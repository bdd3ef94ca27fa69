"""What other programs write on any node is in the next answers; and rollups stay right."""

import time
from datetime import datetime

import asyncpg

from orchboard.config import Settings
from orchboard.store.citus.changes import NodeChanges
from orchboard.store.rollups.builder import RollupBuilder
from tests.support.citus import CitusCluster
from tests.support.database import run
from tests.support.server import Client, StartServer
from tests.support.waiting import wait_until

# One shard: leaves no transaction on the coordinator.
INSERT = """
INSERT INTO events (id, event_time, orchestrator, region_id, payload)
VALUES (nextval('events_id_seq'), $1, $2, 1, '{"success_rate": 1, "seg_duration": 2, "round_trip_time": 1}')
"""
SINCE = "/api/aggregated_stats?since=1"


async def _write(url: str, *orchestrators: str, at: str = "now()") -> None:
    connection = await asyncpg.connect(url)
    try:
        moment = await connection.fetchval(f"SELECT {at}")
        for orchestrator in orchestrators:
            await connection.execute(INSERT, moment, orchestrator)
    finally:
        await connection.close()


async def _value(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def test_a_write_to_one_worker_is_in_the_answers_of_the_next_seconds(
    distributed: str, distributed_settings: Settings, start_server: StartServer
) -> None:
    client = Client(start_server(distributed_settings).url)
    run(_write(distributed, "first"))
    wait_until(lambda: list(client.get(SINCE).json()) == ["first"])
    for number in range(5):
        name = f"other-{number}"
        before = run(_value(distributed, "SELECT pg_current_snapshot()::text"))
        run(_write(distributed, name))
        began_at = time.monotonic()
        wait_until(lambda name=name: name in client.get(SINCE).json())  # type: ignore[misc]
        assert time.monotonic() - began_at < 10, "a machine that runs tests is slow, and not that slow"
        assert before is not None


def test_a_late_result_is_noted_on_its_node_and_collected(distributed: str, cluster: CitusCluster) -> None:
    notes = "SELECT count(*) FROM rollup_invalidations"
    run(_write(distributed, "late", "early", "x", "y", at="now() - interval '3 hours'"))
    assert sum(int(str(run(_value(node.url(distributed), notes)))) for node in cluster.workers) >= 1
    assert run(_value(distributed, notes)) == 0

    async def collect() -> str:
        connection = await asyncpg.connect(distributed)
        try:
            return await NodeChanges(connection.fetch).collect()
        finally:
            await connection.close()

    first = run(collect())
    assert run(_value(distributed, notes)) == 1, "the minute of the four results, once"
    assert sum(int(str(run(_value(node.url(distributed), notes)))) for node in cluster.workers) == 0
    assert run(
        _value(distributed, "SELECT bool_and(since <= now() - interval '3 hours') FROM rollup_invalidations")
    )
    second = run(collect())
    run(_write(distributed, "now"))
    assert first != run(collect()) != second


def test_a_transaction_that_lasts_is_read_again_when_it_ends(distributed: str) -> None:
    """Its results may be received before what a reader has read, and the coordinator's snapshot does not tell."""

    async def watch() -> tuple[int, int, datetime, datetime]:
        connection, writer = await asyncpg.connect(distributed), await asyncpg.connect(distributed)
        try:
            changes = NodeChanges(connection.fetch)
            await writer.execute("BEGIN")
            moment = await writer.fetchval("SELECT now()")
            await writer.execute(INSERT, moment, "slow")
            await writer.execute("SELECT pg_sleep(1.5)")
            await changes.collect()
            during = await connection.fetchval("SELECT count(*) FROM rollup_invalidations")
            await writer.execute("COMMIT")
            await changes.collect()
            row = await connection.fetchrow(
                "SELECT count(*) AS number, min(since) AS since FROM rollup_invalidations"
            )
            assert row is not None
            return during, row["number"], row["since"], moment
        finally:
            await writer.close()
            await connection.close()

    during, after, since, moment = run(watch())
    assert during == 0
    assert after >= 1
    assert since <= moment


def test_the_watermark_is_raised_on_every_node(distributed: str, cluster: CitusCluster) -> None:
    """A result before it invalidates rollups, whichever node stores it."""

    async def build() -> None:
        connection = await asyncpg.connect(distributed)
        try:
            await RollupBuilder(connection).run()
        finally:
            await connection.close()

    run(build())
    found = {
        run(_value(node.url(distributed), "SELECT last_value FROM rollup_watermark"))
        for node in cluster.nodes
    }
    assert len(found) == 1
    assert found != {1}
