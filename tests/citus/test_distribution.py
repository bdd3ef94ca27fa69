"""`orchboard distribute`: what it moves, what it refuses, and that it can be interrupted and repeated."""

import os
import subprocess
import sys
from collections.abc import Iterator

import asyncpg
import pytest
from msgspec.structs import replace

from orchboard.errors import SetupError
from orchboard.store.citus.distribution import Cluster, Distribution, find_cluster
from orchboard.store.citus.nodes import NodeSettings, fetch_node_settings, is_distributed
from orchboard.store.diagnostics.node_checks import find_small_settings
from orchboard.store.postgres.database import Database
from orchboard.store.sql_files import sql
from tests.support.citus import RESULTS, CitusCluster, CitusNode, distribute, migrate
from tests.support.database import execute, run
from tests.support.rollup_database import INSERT_RANDOM_RESULTS

TRIGGERS = """
SELECT tgname, tgenabled FROM pg_trigger
WHERE tgrelid IN ('events'::regclass, 'regions'::regclass, 'job_types'::regclass, 'testers'::regclass) AND tgname LIKE 'note%'
ORDER BY 1
"""


async def _value(url: str, statement: str, *arguments: object) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement, *arguments)
    finally:
        await connection.close()


async def _rows(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def _fill(url: str, number: int = 2000) -> None:
    run(_value(url, f"WITH i AS ({INSERT_RANDOM_RESULTS} RETURNING 1) SELECT count(*) FROM i", number))


async def _is_distributed(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        return await is_distributed(connection)
    finally:
        await connection.close()


def test_results_are_distributed_and_moved_back_unchanged(
    plain_on_cluster: str, cluster: CitusCluster
) -> None:
    url = plain_on_cluster
    _fill(url)
    before, triggers = run(_value(url, RESULTS)), run(_rows(url, TRIGGERS))
    run(execute(url, "DELETE FROM rollup_invalidations"))

    run(distribute(url))
    assert run(_is_distributed(url))
    assert run(_value(url, RESULTS)) == before
    assert run(_value(url, "SELECT pg_relation_size('events')")) == 0, "the old copy is deleted"
    assert run(_value(url, "SELECT count(*) FROM rollup_invalidations")) == 0, "no rollup is built again"
    holding = run(
        _value(url, "SELECT count(DISTINCT nodeport) FROM citus_shards WHERE table_name = 'events'::regclass")
    )
    assert holding == len(cluster.workers)

    run(distribute(url))  # again: nothing to do
    assert run(_value(url, RESULTS)) == before

    run(distribute(url, back=True))
    assert not run(_is_distributed(url))
    assert run(_value(url, RESULTS)) == before
    assert run(_rows(url, TRIGGERS)) == triggers
    assert run(_value(url, "SELECT count(*) FROM rollup_invalidations")) == 0
    for node in cluster.workers:
        assert run(_value(node.url(url), "SELECT to_regclass('rollup_invalidations')")) is None
    run(distribute(url, back=True))  # again
    run(distribute(url))
    assert run(_value(url, RESULTS)) == before


VIEW_PRIVILEGES = """
SELECT c.relname::text, a.attname::text, c.relowner::regrole::text, coalesce(a.attacl, c.relacl)::text
FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL
WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace AND coalesce(a.attacl, c.relacl) IS NOT NULL
ORDER BY 1, 2
"""


def test_privileges_on_views_are_kept(plain_on_cluster: str) -> None:
    url = plain_on_cluster
    run(
        execute(
            url,
            "CREATE VIEW counted AS SELECT count(*) FROM events",
            "GRANT SELECT ON results, event_details TO PUBLIC",
            "GRANT SELECT ON counted TO pg_monitor WITH GRANT OPTION",
            "GRANT SELECT (orchestrator, event_time) ON result_details TO pg_monitor",
        )
    )
    before = run(_rows(url, VIEW_PRIVILEGES))
    assert {name for name, *_ in before} >= {"results", "event_details", "counted", "result_details"}
    run(distribute(url))
    assert run(_rows(url, VIEW_PRIVILEGES)) == before
    run(distribute(url, back=True))
    assert run(_rows(url, VIEW_PRIVILEGES)) == before


@pytest.mark.parametrize("back", [False, True])
def test_a_run_that_ended_before_the_results_were_divided_is_finished(
    plain_on_cluster: str, back: bool
) -> None:
    url = plain_on_cluster
    _fill(url)
    before = run(_value(url, RESULTS))
    prepare = sql("distribution_settings"), sql("make_reference_tables")
    run(execute(url, sql("set_up_nodes"), "BEGIN", *prepare, "COMMIT"))
    assert run(_is_distributed(url)), "Citus manages the table"
    run(distribute(url, back=back))
    shards = "SELECT count(*) FROM citus_shards WHERE table_name = 'events'::regclass"
    assert run(_value(url, shards)) == (0 if back else 8)
    assert run(_is_distributed(url)) is not back
    assert run(_value(url, RESULTS)) == before


def test_it_refuses_a_database_without_citus(database_url: str) -> None:
    with pytest.raises(SetupError, match="no extension citus: install Citus on every node"):
        run(distribute(database_url))


def test_it_refuses_while_another_program_is_connected(plain_on_cluster: str) -> None:
    async def attempt() -> None:
        other = await asyncpg.connect(plain_on_cluster)
        try:
            await distribute(plain_on_cluster)
        finally:
            await other.close()

    with pytest.raises(SetupError, match="other programs use the database \\(1 connection"):
        run(attempt())


@pytest.fixture
def on_one_worker(cluster: CitusCluster) -> Iterator[str]:
    """The URL of a distributed database that only one worker knows, with results; the extension is on the other."""
    for url in cluster.new_database(workers=1):
        run(migrate(url))
        _fill(url)
        run(distribute(url))
        yield url


async def _add(url: str, node: CitusNode) -> None:
    database = Database(url, connections=2, timeout_s=60)
    connection = await database.connect()
    try:
        found = await find_cluster(connection, added=f"{node.name}:{node.port}")
        await Distribution(connection, database.connect).add(found, node.name, node.port)
    finally:
        connection.terminate()
        await database.close()


@pytest.mark.parametrize("was_inactive", [False, True])
def test_a_new_worker_is_added_and_gets_results(
    on_one_worker: str, cluster: CitusCluster, was_inactive: bool
) -> None:
    url, new = on_one_worker, cluster.workers[1]
    before = run(_value(url, RESULTS))
    if was_inactive:
        run(execute(url, f"SELECT citus_add_inactive_node('{new.name}', {new.port})"))
        with pytest.raises(SetupError, match=f"not active.*distribute --add {new.name}:{new.port}"):
            run(distribute(url))
    run(_add(url, new))
    run(_add(url, new))  # again: nothing to do
    watermark = "SELECT last_value FROM rollup_watermark"
    assert run(_value(new.url(url), watermark)) == run(_value(url, watermark))

    run(execute(url, "SELECT citus_rebalance_start()", "SELECT citus_rebalance_wait()"))
    holding = "SELECT count(*) FROM citus_shards WHERE table_name = 'events'::regclass AND nodeport = $1"
    assert run(_value(url, holding, new.port)) == 4, "half of eight shards"
    assert run(_value(url, RESULTS)) == before
    late = "INSERT INTO events (event_time, orchestrator, payload) SELECT now() - interval '3 h', n::text, '{}' FROM generate_series(1, 40) n"
    run(execute(url, late))
    assert run(_value(new.url(url), "SELECT count(*) FROM rollup_invalidations")), "its triggers work"
    run(distribute(url, back=True))


def test_a_worker_can_be_added_only_to_distributed_results(
    plain_on_cluster: str, cluster: CitusCluster
) -> None:
    with pytest.raises(SetupError, match="are not distributed: run SELECT citus_add_node"):
        run(_add(plain_on_cluster, cluster.workers[1]))


def test_a_worker_that_does_not_answer_is_not_added(on_one_worker: str) -> None:
    with pytest.raises(SetupError, match="the worker 127.0.0.1:9 could not be set up"):
        run(_add(on_one_worker, CitusNode("127.0.0.1", 9, 0)))
    assert run(_value(on_one_worker, "SELECT count(*) FROM pg_dist_node")) == 2


def test_other_programs_are_named_in_the_refusal(plain_on_cluster: str) -> None:
    async def attempt() -> None:
        others = [
            await asyncpg.connect(plain_on_cluster, server_settings={"application_name": f"grafana {number}"})
            for number in range(5)
        ]
        try:
            await distribute(plain_on_cluster)
        finally:
            for other in others:
                await other.close()

    expected = r"\(5 connections\): pid \d+ of user \w+ \(grafana 0, [0-9.]+\), .*\(grafana 2, [0-9.]+\) and 2 more; stop"
    with pytest.raises(SetupError, match=expected):
        run(attempt())


def _command(url: str, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "orchboard", *words],
        env={**os.environ, "POSTGRES": url},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_command_says_what_is_left_to_do(plain_on_cluster: str) -> None:
    url = plain_on_cluster
    assert _command(url, "distribute", "--back") == (
        0,
        "the results were not distributed: none was moved; start the servers again\n",
    )
    status, said = _command(url, "distribute", "--shards", "4")
    assert (status, "start the servers again" in said) == (0, True), said
    status, said = _command(url, "distribute", "--dry-run")
    assert (status, "in 4 shards already; nothing to do" in said) == (0, True), said
    for words in (["--shards", "8"], ["--shards", "8", "--dry-run"]):
        status, said = _command(url, "distribute", *words)
        assert status == 3
        assert "in 4 shards already; run `orchboard distribute --back` first" in said
    assert _command(url, "distribute", "--shards", "4")[0] == 0, "as they are"


def test_a_plan_names_only_workers_that_are_not_set_up(distributed: str, cluster: CitusCluster) -> None:
    new = cluster.workers[1]
    run(
        execute(
            new.url(distributed), "SET citus.enable_ddl_propagation = off", "DROP TABLE rollup_invalidations"
        )
    )
    status, said = _command(distributed, "distribute", "--dry-run")
    assert (status, said.endswith(f"would set up {new.name}:{new.port}\n")) == (0, True), said


@pytest.mark.parametrize(
    "words", ["distribute", "distribute --back", "migrate up", "migrate version", "doctor"]
)
def test_a_worker_is_not_taken_for_the_coordinator(
    distributed: str, cluster: CitusCluster, words: str
) -> None:
    status, said = _command(cluster.workers[0].url(distributed), *words.split())
    assert status
    assert "POSTGRES is a worker of a Citus cluster: set it to the coordinator" in said


def test_too_few_prepared_transactions_are_refused(plain_on_cluster: str) -> None:
    async def find() -> tuple[Cluster, list[NodeSettings]]:
        connection = await asyncpg.connect(plain_on_cluster)
        try:
            return await find_cluster(connection), await fetch_node_settings(connection)
        finally:
            await connection.close()

    found, settings = run(find())
    assert [each.port for each in settings] == [node.port for node in found.nodes]
    assert not found.unsuited
    small = replace(settings[1], max_prepared_transactions=settings[1].max_connections - 1)
    [finding] = find_small_settings([*settings, small])
    assert f"max_prepared_transactions is {small.max_prepared_transactions} on the node" in finding.message
    assert f"{small.name}:{small.port}" in finding.message
    with pytest.raises(SetupError, match="raise it there, restart the node"):
        replace(found, unsuited=(small.problem,)).require_suited(None)
