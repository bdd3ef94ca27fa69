"""A worker fails, or the command is killed: nothing that was acknowledged is lost, and everything can be repeated."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg

from orchboard.config import Settings
from tests.support.citus import RESULTS, CitusCluster, away, distribute
from tests.support.database import run
from tests.support.rollup_database import INSERT_RANDOM_RESULTS
from tests.support.samples import transcoding
from tests.support.server import Client, StartServer
from tests.support.waiting import wait_until


async def _value(url: str, statement: str, *arguments: object) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement, *arguments)
    finally:
        await connection.close()


def test_a_worker_that_fails_loses_nothing_that_was_acknowledged(
    distributed: str,
    distributed_settings: Settings,
    cluster: CitusCluster,
    start_server: StartServer,
    tmp_path: Path,
) -> None:
    client = Client(start_server(distributed_settings, spool_path=tmp_path / "s.sqlite").url)
    acknowledged = 0

    def post(first: int, number: int) -> None:
        nonlocal acknowledged
        for each in range(first, first + number):
            key = f"key-{each}" if each % 4 == 0 else None
            answer = client.post_stats(transcoding(orchestrator=f"o{each % 30}", timestamp=each), key=key)
            acknowledged += answer.status == 200

    post(0, 90)
    with away(cluster.workers[0], distributed):
        post(1000, 40)
    post(2000, 90)
    assert acknowledged == 220, "the spool takes what a worker can't"
    count = "SELECT count(DISTINCT payload ->> 'timestamp') FROM events"
    wait_until(lambda: run(_value(distributed, count)) == acknowledged, within_s=120)
    assert run(_value(distributed, "SELECT count(*) FROM events")) == acknowledged, "none is stored twice"


def test_results_are_stored_on_their_worker_directly(
    distributed: str, distributed_settings: Settings, cluster: CitusCluster, start_server: StartServer
) -> None:
    client = Client(start_server(distributed_settings).url)
    for each in range(80):
        assert client.post_stats(transcoding(orchestrator=f"o{each % 8}")).status == 200
    direct = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND query LIKE '-- Inserts results without%'"
    name = distributed.rpartition("/")[2]
    assert sum(int(str(run(_value(node.url(distributed), direct, name)))) for node in cluster.workers) >= 1
    assert run(_value(distributed, "SELECT count(*) FROM events")) == 80


def test_doctor_says_to_start_a_worker_that_is_away(distributed: str, cluster: CitusCluster) -> None:
    worker = cluster.workers[0]
    with away(worker, distributed):
        done = subprocess.run(
            [sys.executable, "-m", "orchboard", "doctor"],
            env={**os.environ, "POSTGRES": distributed},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert f"the worker {worker.name}:{worker.port} does not answer\n    Start it" in done.stdout
    assert "citus_remove_node" not in done.stdout, "impossible, as it has results"
    assert done.stdout.count("not all checks could be run: a node of the Citus cluster does not answer") == 1


# The sessions of programs: those between nodes stay open.
OTHERS = (
    "datname = current_database() AND backend_type = 'client backend' AND application_name NOT LIKE 'citus%'"
)


def _command(url: str, *words: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "orchboard", "distribute", *words],
        env={**os.environ, "POSTGRES": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_the_command_can_be_killed_at_any_time_and_repeated(plain_on_cluster: str) -> None:
    url = plain_on_cluster
    run(_value(url, f"WITH i AS ({INSERT_RANDOM_RESULTS} RETURNING 1) SELECT count(*) FROM i", 20_000))
    before = run(_value(url, RESULTS))
    for words in (("--shards", "4"), ("--back",)):
        for delay_s in (1.0, 2.0, 3.0, 5.0):
            process = _command(url, *words)
            time.sleep(delay_s)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            others = f"SELECT count(*) FROM pg_stat_activity WHERE {OTHERS}"
            wait_until(lambda: run(_value(url, others)) == 1, within_s=60)  # noqa: B023
            assert run(_value(url, RESULTS)) == before
        process = _command(url, *words)
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        assert b"start the servers again" in out
        assert run(_value(url, RESULTS)) == before
    run(distribute(url))
    assert run(_value(url, RESULTS)) == before
