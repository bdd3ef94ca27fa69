"""Behind Debian's pgbouncer in transaction mode, where each transaction may meet another server process."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from tests.conftest import Client, StartServer, ai, run, transcoding
from tests.places import reachable_directory
from tests.store.writing import held_up, opened, outcomes, query, submit

CONFIG = """
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {directory}
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
logfile = {directory}/log
"""


@pytest.fixture
def pooled(settings: Settings) -> Iterator[Settings]:
    """The settings of a fresh, empty-or-migrated database, through a pooler."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    url = urlsplit(settings.postgres)
    query = parse_qs(url.query)
    # Not as root, which it refuses, but as whoever the cluster's private socket belongs to.
    owner = os.stat(query["host"][0]) if os.getuid() == 0 else None
    with reachable_directory() as directory:
        config = directory / "pgbouncer.ini"
        config.write_text(
            CONFIG.format(
                host=query["host"][0],
                port=query["port"][0],
                user=url.username,
                password=url.password,
                directory=directory,
            )
        )
        if owner:
            os.chown(directory, owner.st_uid, owner.st_gid)
        process = subprocess.Popen(
            [program, "-q", config],
            user=owner.st_uid if owner else None,
            group=owner.st_gid if owner else None,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 10
            while not (directory / ".s.PGSQL.6432").exists():
                assert process.poll() is None and time.monotonic() < deadline, "pgbouncer did not start"
                time.sleep(0.02)
            yield replace(settings, postgres=f"postgresql://anyone@{url.path}?host={directory}&port=6432")
        finally:
            process.terminate()
            process.wait(10)


def test_every_question_is_answered_through_it(pooled: Settings, start_server: StartServer) -> None:
    client = Client(start_server(pooled).url)

    def work(number: int) -> set[int]:
        posts = [transcoding(orchestrator=f"o{number}"), ai(orchestrator=f"o{number}")]
        statuses = {client.post_stats(stats).status for stats in posts}
        statuses.add(client.post_stats(transcoding(), key="once").status)
        for question in (
            "aggregated_stats",
            "aggregated_stats?job_type=ai",
            "pipelines?since=1",
            "top_ai_score",
            "regions",
        ):
            statuses.add(client.get(f"/api/{question}").status)
        statuses.add(client.get("/api/raw_stats", orchestrator=f"o{number}").status)
        return statuses

    with ThreadPoolExecutor(16) as pool:
        assert set().union(*pool.map(work, range(64))) == {200}
    assert len(client.get("/api/aggregated_stats").json()) == 65
    assert (
        len(client.get("/api/raw_stats", orchestrator=str(transcoding()["orchestrator"])).json()["MDW"]) == 1
    )


def test_migrations_run_through_it(pooled: Settings, empty_database: str, start_server: StartServer) -> None:
    path, name = urlsplit(pooled.postgres).path, urlsplit(empty_database).path
    client = Client(start_server(replace(pooled, postgres=pooled.postgres.replace(path, name, 1))).url)
    assert client.post_stats(ai()).data == b"ok"
    assert client.get("/api/pipelines").json()["pipelines"][0]["id"] == "text-to-image"


def test_results_that_come_at_once_are_one_commit_through_it(pooled: Settings, settings: Settings) -> None:
    async def work() -> None:
        async with opened(pooled.postgres) as store:
            async with held_up(settings.postgres, store) as first:
                group = [submit(store, 1, key=f"k{number}" if number % 2 else None) for number in range(50)]
            assert await outcomes([first, *group]) == [None] * 51
        commits = "SELECT count(DISTINCT xmin::text) FROM events WHERE (payload->>'timestamp')::int = 1"
        assert await query(settings.postgres, commits) == 1

    run(work())
