"""A role that is not a superuser runs the servers of a distributed board; only `orchboard distribute` needs one."""

import os
from collections.abc import Iterator

import asyncpg
import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from orchboard.store.sql_files import sql
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


async def grant_what_is_missing(url: str, mine: str, role: str) -> None:
    """As an operator does who follows `orchboard doctor`."""
    ours, theirs = await asyncpg.connect(url), await asyncpg.connect(mine)
    [ping] = await theirs.fetch(sql("ping"))
    for privilege in ping["missing"]:
        await ours.execute(f"GRANT {privilege} TO {role}")
    [ping] = await theirs.fetch(sql("ping"))
    assert ping["missing"] == []
    await ours.close()
    await theirs.close()


@pytest.fixture(params=["owner", "another"])
def limited(cluster: CitusCluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a distributed database for a role that owns it, or that has the privileges that a server needs."""
    role = f"{request.param}_{os.getpid()}"
    for url in cluster.new_database():
        name = url.rpartition("/")[2]
        head, _, tail = url.partition("://")
        mine = f"{head}://{role}:secret@{tail.partition('@')[2]}"
        run(execute(url, f"CREATE ROLE {role} LOGIN PASSWORD 'secret'"))
        if request.param == "owner":
            run(execute(url, f"ALTER DATABASE {name} OWNER TO {role}"))
            run(execute(url, f"GRANT ALL ON SCHEMA public TO {role}"))
            run(migrate(mine))
        else:
            run(migrate(url))
            run(grant_what_is_missing(url, mine, role))
        run(distribute(url))
        yield mine
    run(execute(cluster.url, f"DROP ROLE {role}"))


def test_a_role_that_is_no_superuser_runs_a_server(
    limited: str, cluster: CitusCluster, settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replace(settings, postgres=limited, orchestrator_names="any"))
    client = Client(server.url)
    for number in range(60):
        key = f"k{number}" if number % 2 else None
        assert client.post_stats(transcoding(orchestrator=f"o{number % 9}"), key=key).status == 200
    direct = "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND query LIKE '-- Inserts results%'"
    assert sum(run(query(node.url(limited), direct)) for node in cluster.workers) >= 1
    run(execute(limited, LATE))
    wait_until(lambda: "late-8" in client.get("/api/aggregated_stats?since=1").json())
    notes = "SELECT count(*) FROM rollup_invalidations"
    wait_until(lambda: not sum(run(query(node.url(limited), notes)) for node in cluster.workers), within_s=30)
    assert run(query(limited, "SELECT count(*) FROM events")) == 68
    checks = client.get("/readyz").json()["checks"]
    assert [check["name"] for check in checks if not check["ok"]] == []
    assert not [check["note"] for check in checks if check["name"] == "background" and check.get("note")]
