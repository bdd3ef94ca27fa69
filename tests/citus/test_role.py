"""A role that is not a superuser runs the servers of a distributed board; only `orchboard distribute` needs one."""

import os
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from tests.support.citus import CitusCluster, distribute, migrate
from tests.support.database import execute, run
from tests.support.samples import transcoding
from tests.support.server import Client, StartServer
from tests.support.store_writes import query
from tests.support.waiting import wait_until

LATE = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT now() - interval '3 hours', 'late-' || n, 1, '{"success_rate": 1}' FROM generate_series(1, 8) n
"""


@pytest.fixture
def owned(cluster: CitusCluster) -> Iterator[str]:
    """The URL of a distributed database for the role that owns it."""
    role = f"owner_{os.getpid()}"
    for url in cluster.new_database():
        name = url.rpartition("/")[2]
        run(
            execute(
                url, f"CREATE ROLE {role} LOGIN PASSWORD 'owner'", f"ALTER DATABASE {name} OWNER TO {role}"
            )
        )
        run(execute(url, f"GRANT ALL ON SCHEMA public TO {role}"))
        head, _, tail = url.partition("://")
        mine = f"{head}://{role}:owner@{tail.partition('@')[2]}"
        run(migrate(mine))
        run(distribute(url))
        yield mine
    run(execute(cluster.url, f"DROP ROLE {role}"))


def test_the_owner_of_the_database_runs_a_server(
    owned: str, cluster: CitusCluster, settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replace(settings, postgres=owned, orchestrator_names="any"))
    client = Client(server.url)
    for number in range(60):
        key = f"k{number}" if number % 2 else None
        assert client.post_stats(transcoding(orchestrator=f"o{number % 9}"), key=key).status == 200
    direct = "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND query LIKE '-- Inserts results%'"
    assert sum(run(query(node.url(owned), direct)) for node in cluster.workers) >= 1
    run(execute(owned, LATE))
    wait_until(lambda: "late-8" in client.get("/api/aggregated_stats?since=1").json())
    notes = "SELECT count(*) FROM rollup_invalidations"
    wait_until(lambda: not sum(run(query(node.url(owned), notes)) for node in cluster.workers), within_s=30)
    assert run(query(owned, "SELECT count(*) FROM events")) == 68
    checks = client.get("/readyz").json()["checks"]
    assert [check["name"] for check in checks if not check["ok"]] == []
    assert not [check["note"] for check in checks if check["name"] == "background" and check.get("note")]
