"""Behind Debian's pgbouncer in transaction mode, where each transaction may meet another server process."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from tests.support.database import run
from tests.support.pgbouncer import PgBouncer, pgbouncer_url
from tests.support.samples import ai, transcoding
from tests.support.server import Client, StartServer
from tests.support.store_writes import blocked_insert, open_store, outcomes, query, submit
from tests.support.temporary_directories import reachable_directory


@pytest.fixture
def through(settings: Settings, database_url: str) -> Iterator[Settings]:
    """The settings of a fresh, migrated database, through a pooler."""
    with reachable_directory() as directory:
        pooler = PgBouncer(database_url, directory)
        try:
            yield replace(settings, postgres=pgbouncer_url(database_url, directory))
        finally:
            pooler.stop()


def test_every_question_is_answered_through_it(through: Settings, start_server: StartServer) -> None:
    client = Client(start_server(through).url)

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


def test_migrations_run_through_it(through: Settings, empty_database: str, start_server: StartServer) -> None:
    path, name = urlsplit(through.postgres).path, urlsplit(empty_database).path
    client = Client(start_server(replace(through, postgres=through.postgres.replace(path, name, 1))).url)
    assert client.post_stats(ai()).data == b"ok"
    assert client.get("/api/pipelines").json()["pipelines"][0]["id"] == "text-to-image"


def test_results_that_come_at_once_are_two_commits_through_it(through: Settings, database_url: str) -> None:
    async def work() -> None:
        async with open_store(through.postgres) as store:
            async with blocked_insert(database_url, store) as first:
                group = [submit(store, 1, key=f"k{number}" if number % 2 else None) for number in range(50)]
            assert await outcomes([first, *group]) == [None] * 51
        commits = "SELECT count(DISTINCT xmin::text) FROM events WHERE (payload->>'timestamp')::int = 1"
        assert await query(database_url, commits) == 2

    run(work())
