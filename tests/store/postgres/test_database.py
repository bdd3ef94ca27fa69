"""The database when it answers late or never: no request waits much longer than DB_TIMEOUT."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from orchboard.errors import DatabaseUnavailableError, SetupError
from orchboard.store.connection.types import Connect
from orchboard.store.embedded.server import EmbeddedPostgres
from orchboard.store.postgres.database import Database
from orchboard.store.schema.migrate import Step, migrate_to
from tests.support.database import run
from tests.support.postgres_proxy import postgres_proxy
from tests.support.processes import frozen
from tests.support.samples import ai, transcoding
from tests.support.server import Client, StartServer
from tests.support.temporary_directories import reachable_directory

AT_ONCE = 12


@contextmanager
def locked(url: str, table: str) -> Iterator[None]:
    """Nobody else can read the table, as while it is being altered."""
    held, done = threading.Event(), threading.Event()

    async def hold() -> None:
        connection = await asyncpg.connect(url)
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table}")
            held.set()
            while not done.is_set():
                time.sleep(0.01)
        await connection.close()

    with ThreadPoolExecutor(1) as holder:
        holding = holder.submit(run, hold())
        try:
            assert held.wait(10)
            yield
        finally:
            done.set()
            holding.result()


def test_concurrent_requests_for_stale_regions_share_one_query(
    settings: Settings, start_server: StartServer
) -> None:
    client = Client(start_server(replace(settings, db_timeout_s=1.0, regions_cache_s=0.01)).url)
    assert client.get("/api/regions").status == 200
    with locked(settings.postgres, "regions"), ThreadPoolExecutor(AT_ONCE) as crowd:
        began_at = time.monotonic()
        answers = list(crowd.map(lambda _: client.get("/api/regions").status, range(AT_ONCE)))
        took_s = time.monotonic() - began_at
    assert answers == [200] * AT_ONCE, "regions are kept while they can't be read"
    assert took_s < 8, "in a queue they take 12 times 1 s"


def test_many_results_at_once_from_a_region_new_to_their_job_type_are_all_stored(client: Client) -> None:
    listed = client.get("/api/regions").json()["regions"]
    of = {
        kind: {region["id"] for region in listed if region["type"] == kind} for kind in ("transcoding", "ai")
    }
    for region in sorted(of["transcoding"] - of["ai"])[:5]:
        with ThreadPoolExecutor(AT_ONCE) as crowd:
            result = ai(region=region)
            answers = [crowd.submit(client.post_stats, result).result for _ in range(4 * AT_ONCE)]
            assert {answer().data for answer in answers} == {b"ok"}


def test_a_post_to_a_frozen_database_is_refused_in_time(
    settings: Settings, start_server: StartServer
) -> None:
    with reachable_directory() as place:
        postgres = EmbeddedPostgres.start(place / "data", watch=False)
        try:
            client = Client(start_server(replace(settings, postgres=postgres.url, db_timeout_s=0.4)).url)
            with ThreadPoolExecutor(AT_ONCE) as crowd:
                list(crowd.map(lambda _: client.post_stats(transcoding()), range(AT_ONCE)))
                with frozen(int((postgres.directory / "postmaster.pid").read_text().split()[0])):
                    began_at = time.monotonic()
                    answers = list(
                        crowd.map(lambda _: client.post_stats(transcoding()).status, range(AT_ONCE))
                    )
                    took_s = time.monotonic() - began_at
            assert answers == [503] * AT_ONCE
            assert took_s < 20, "cancelling a statement there is never confirmed"
            assert client.post_stats(transcoding()).data == b"ok"
        finally:
            postgres.stop()


def test_connections_lost_at_any_moment_lose_nothing_acknowledged_and_store_nothing_twice(
    client: Client, settings: Settings
) -> None:
    async def end_every_connection() -> None:
        connection = await asyncpg.connect(settings.postgres)
        for _ in range(60):
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await asyncio.sleep(0.005)
        await connection.close()

    ended, numbers = threading.Event(), itertools.count()

    def post_until_ended(_: int) -> dict[int, int]:
        statuses = {}
        while not ended.is_set():
            number = next(numbers)
            statuses[number] = client.post_stats(transcoding(timestamp=number)).status
        return statuses

    with ThreadPoolExecutor(AT_ONCE) as crowd:
        posting = [crowd.submit(post_until_ended, number) for number in range(AT_ONCE)]
        try:
            run(end_every_connection())
        finally:
            ended.set()
        statuses = {number: status for post in posting for number, status in post.result().items()}
    assert set(statuses.values()) <= {200, 503}
    regions = client.get("/api/raw_stats", orchestrator=transcoding()["orchestrator"]).json()
    stored = [row["timestamp"] for rows in regions.values() for row in rows]
    assert len(stored) == len(set(stored)), "stored twice"
    assert {number for number, status in statuses.items() if status == 200} <= set(stored), "lost"


def test_a_question_whose_connections_are_lost_one_after_the_other_ends_within_its_time_limit(
    database_url: str,
) -> None:
    async def check() -> None:
        database = Database(database_url, connections=40, timeout_s=3)
        try:
            await database.fetch("SELECT 1")
            began_at = time.monotonic()
            with pytest.raises(DatabaseUnavailableError):
                await database.fetch("SELECT pg_terminate_backend(pg_backend_pid()) FROM pg_sleep(0.4)")
            assert time.monotonic() - began_at < 10
        finally:
            await database.close()

    run(check())


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_database_that_stops_during_the_schema_check_is_unavailable(database_url: str, lost: int) -> None:
    async def test() -> None:
        async with postgres_proxy(database_url) as relay:
            relay.goodbye_to = {lost}
            database = Database(relay.url, connections=1, timeout_s=10)
            try:
                with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await database.open()
                assert not relay.goodbye_to
                [row] = await database.fetch("SELECT 7 AS seven")
                assert row["seven"] == 7
            finally:
                await database.close()

    run(test())


def test_a_failed_migration_is_retried_after_a_backoff(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it did before it failed, such as half an index, would be done again and again."""
    begun = 0

    async def migrate(connect: Connect, **options: Any) -> tuple[Step, ...]:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0.2)
        return await migrate_to(connect, **options)

    monkeypatch.setattr("orchboard.store.postgres.startup.migrate_to", migrate)

    async def work() -> None:
        database = Database(empty_database, connections=1, timeout_s=10)
        connection = await database.connect()
        try:
            await migrate_to(database.connect, 8)
            await connection.execute("CREATE TABLE events_key ()")  # the name of the index that is to come
            for _ in range(5):
                with pytest.raises(SetupError, match="9 result_key .* failed half-way"):
                    await database.open()
            assert begun == 1
            await connection.execute("DROP TABLE events_key")
            deadline = time.monotonic() + 20
            while True:
                with suppress(SetupError):
                    await database.open()
                    break
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            assert begun == 2
        finally:
            await connection.close()
            await database.close()

    run(work())
