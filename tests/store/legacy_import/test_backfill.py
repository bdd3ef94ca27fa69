"""During a backfill answers stay right and the reference server works; interrupted backfills continue."""

import asyncio
import os
import signal
import time
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from orchboard.config import Settings, read_settings
from orchboard.store.connection.types import Connection
from orchboard.store.embedded.server import EmbeddedPostgres
from orchboard.store.legacy_import.backfill import backfill, fetch_progress
from orchboard.store.legacy_import.table_mover import TableMover
from orchboard.store.postgres.database import Database
from orchboard.store.rollups.builder import RollupBuilder
from tests.support.database import run
from tests.support.legacy_database import Old, Reference, on_old, opened
from tests.support.server import SECRET, Client, StartServer
from tests.support.temporary_directories import reachable_directory


def test_the_reference_server_writes_and_reads_on_and_nothing_is_lost(empty_database: str) -> None:
    async def test(old: Old) -> None:
        async with Reference(old.url) as reference:
            await reference.get_on()
            await old.migrate()
            await reference.get_on()
            while not await old.backfill():
                await asyncio.sleep(0.01)
            await reference.get_on()
        await old.assert_nothing_is_lost()
        await old.assert_nothing_is_lost("events")
        written = "SELECT payload ->> 'number' FROM events WHERE orchestrator = '0xWriter' ORDER BY id"
        assert [row[0] for row in await old.connection.fetch(written)] == reference.written
        assert await old.connection.fetchval("SELECT to_regclass('events_before') IS NULL")
        progress = await fetch_progress(old.connection)
        assert progress.is_settled and progress.unmoved == 0

    on_old(empty_database, test)


def test_answers_are_the_plain_query_at_every_point(empty_database: str) -> None:
    async def test(old: Old) -> None:
        until = await old.connection.fetchval("SELECT now()")
        details = "SELECT region_name, job_type_name, event_time, orchestrator, payload FROM event_details ORDER BY id"
        as_it_was = await old.connection.fetch(details)
        async with Reference(old.url):
            await old.migrate()
            await old.assert_matches_oracle(until)  # nothing moved, nothing summed up
            mover, connection = TableMover(old.connection), await old.database.connect()
            await mover.begin()
            for days in (0.1, 10, 20):
                await mover.move(timedelta(days=days))
                await old.assert_matches_oracle(until)  # some moved
                assert await RollupBuilder(connection).run(since=mover.reached)
                await old.assert_matches_oracle(until)  # and summed up
            assert 0 < await old.number_left() < len(old.before)
            assert await backfill(connection, RollupBuilder(connection))
            connection.terminate()
            await old.assert_matches_oracle(until)
        assert (await old.connection.fetch(details))[: len(as_it_was)] == as_it_was

    on_old(empty_database, test)


def test_the_api_answers_alike_from_the_first_moment_to_the_last(
    empty_database: str, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.maintenance.EVERY_S", 0.05)
    monkeypatch.setattr("orchboard.limits.MAX_MOVED_ROWS", 1000)
    settings: Settings = read_settings({"POSTGRES": empty_database, "SECRET": SECRET})

    async def make() -> None:
        async with opened(empty_database):
            pass

    run(make())
    client = Client(start_server(settings).url)
    until = int(time.time())
    questions: list[tuple[str, dict[str, object]]] = [
        ("/api/aggregated_stats", {"since": 1, "until": until}),
        (
            "/api/aggregated_stats",
            {"since": until - 2 * 86400, "until": until, "pipeline": "p1", "model": "m1"},
        ),
        ("/api/raw_stats", {"since": 1, "until": until, "orchestrator": "0xAbCd"}),
        ("/api/pipelines", {"since": 1, "until": until}),
        ("/api/top_ai_score", {"since": 1, "until": until}),
    ]

    def ask() -> list[Any]:
        answers = [client.get(path, **asked) for path, asked in questions]
        assert [answer.status for answer in answers] == [200] * len(questions)
        return [answer.json() for answer in answers]

    async def is_done() -> bool:
        connection = await asyncpg.connect(empty_database)
        try:
            return (await fetch_progress(connection)).is_done
        finally:
            connection.terminate()

    first, done = ask(), False
    while not done:
        done = run(is_done())
        now = ask()
        assert now[0] == approximately(first[0]) and now[1] == approximately(first[1])
        assert now[2:4] == first[2:4] and now[4] == approximately(first[4])


def approximately(value: Any) -> Any:
    """The same but for the last bits of its numbers."""
    if isinstance(value, dict):
        return {key: approximately(each) for key, each in value.items()}
    if isinstance(value, list):
        return [approximately(each) for each in value]
    return pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value


def test_a_killed_backfill_continues_where_it_stopped(empty_database: str) -> None:
    async def test(old: Old) -> None:
        await old.migrate()
        for killed_after in (1, 5):
            moving = await old.database.connect()
            pid, batches = moving.get_server_pid(), 0

            def count(_: int, moving: Connection = moving, killed_after: int = killed_after) -> None:
                nonlocal batches
                batches += 1
                if batches == killed_after:
                    moving.terminate()

            with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError, OSError)):
                await backfill(moving, RollupBuilder(moving), on_batch=count)
            await old.connection.fetchval("SELECT pg_terminate_backend($1)", pid)
            await old.assert_nothing_is_lost()
        assert 0 < await old.number_left() < len(old.before)
        moved: list[int] = []
        assert await old.backfill(moved.append)
        assert 0 < sum(moved) < len(old.before)
        await old.assert_nothing_is_lost("events")

    on_old(empty_database, test)


def test_a_crash_of_postgres_may_take_batches_back_but_no_result() -> None:
    async def begin(url: str, postmaster: int) -> list[asyncpg.Record]:
        async with opened(url) as old:
            await old.migrate()
            batches = 0

            def crash(_: int) -> None:
                nonlocal batches
                batches += 1
                if batches == 6:
                    os.kill(postmaster, signal.SIGQUIT)

            with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError, OSError)):
                await old.backfill(crash)
            return old.before

    async def go_on(url: str, before: list[asyncpg.Record]) -> None:
        database, connection = Database(url, connections=1, timeout_s=30), await asyncpg.connect(url)
        old = Old(url, database, connection)
        old.before = before
        assert await old.number_left()
        await old.assert_nothing_is_lost()
        assert await old.move_all()
        await old.assert_nothing_is_lost("events")
        await connection.close()

    with reachable_directory() as directory:
        first = EmbeddedPostgres.start(directory / "data", watch=False)
        before = run(begin(first.url, int((first.directory / "postmaster.pid").read_text().split()[0])))
        first.stop()
        second = EmbeddedPostgres.start(directory / "data", watch=False)
        try:
            run(go_on(second.url, before))
        finally:
            second.stop()


def test_several_movers_move_each_result_once(empty_database: str) -> None:
    async def test(old: Old) -> None:
        await old.migrate()
        moved: list[int] = []

        async def move() -> None:
            connection = await old.database.connect()
            while not await backfill(connection, RollupBuilder(connection), on_batch=moved.append):
                await asyncio.sleep(0.01)
            connection.terminate()

        await asyncio.gather(*(move() for _ in range(3)))
        assert sum(moved) == len(old.before)
        await old.assert_nothing_is_lost("events")

    on_old(empty_database, test)
