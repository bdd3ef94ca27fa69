"""Taking a database over: its results are moved and summed up while others write and read; none is lost, none doubled."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from orchboard.config import Settings, read_settings
from orchboard.stats import Window
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.connection.types import Connection
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.embedded.server import EmbeddedPostgres
from orchboard.store.legacy_import.backfill import backfill, fetch_progress
from orchboard.store.legacy_import.table_mover import TableMover
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import Database
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.rollups.reader import MeansReader
from orchboard.store.schema.migrate import migrate_to
from orchboard.store.sql_files import sql
from orchboard.window import EARLIEST
from tests.support.database import run
from tests.support.oracle_queries import PIPELINES, assert_matches_oracle
from tests.support.server import SECRET, Client, StartServer
from tests.support.temporary_directories import reachable_directory

RESULTS = 2000

# As testers send them, at some twenty moments of the last 75 days: spans to be summed up, not too many.
FILL = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT
    date_trunc('hour', now()) - interval '1 hour' * floor(1800 * power((n % 20) / 20.0, 3))
    - interval '1 second' * (n % 25) * 20 - interval '1 microsecond' * (n % 3),
    (ARRAY['0xaa', '0xBb', '0xbb', '0xcc', ''])[1 + floor(random() * 4.05)::integer],
    r.id,
    jsonb_strip_nulls(jsonb_build_object(
        'success_rate', CASE WHEN random() < 0.8 THEN 1 ELSE round(random()::numeric, 2) END,
        'round_trip_time', exp(4 * random()),
        'seg_duration', CASE WHEN random() < 0.5 THEN 2 END,
        'pipeline', CASE WHEN j.name = 'ai' THEN 'p' || n % 2 END,
        'model', CASE WHEN j.name = 'ai' THEN 'm' || n % 3 END,
        'test_outcome', CASE WHEN n % 11 = 0 THEN 'unscored_timeout' END
    ))
FROM generate_series(1, $1::integer) n
JOIN LATERAL (SELECT id, job_type_id FROM regions WHERE name IN ('FRA', 'MDW') ORDER BY random(), n LIMIT 1) r ON true
JOIN job_types j ON j.id = r.job_type_id
"""

# What is awkward beside that: no object at all, wrong types, old times, one moment for many, no region, long names.
AWKWARD = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT
    CASE n % 5 WHEN 0 THEN to_timestamp(0) WHEN 1 THEN now() - interval '30 days' ELSE now() - interval '3 hours' END,
    CASE WHEN n % 2 = 0 THEN '0xAbCd' ELSE '0xabcd' END,
    CASE WHEN n % 40 = 0 THEN NULL ELSE (SELECT id FROM regions WHERE name = 'FRA' ORDER BY id LIMIT 1 OFFSET n % 2) END,
    (ARRAY[
        '"text"', '7', 'null', '[]', '{}', '{"success_rate": true, "round_trip_time": "1.5"}',
        '{"success_rate": 1e300, "round_trip_time": -1e-320, "pipeline": 5, "model": {"a": 1}}',
        '{"success_rate": 1, "round_trip_time": 2.5, "pipeline": "p0", "model": null}',
        '{"success_rate": 1, "round_trip_time": 2.5, "pipeline": "p1", "model": "m1", "test_outcome": "unscored"}',
        '{"success_rate": 1, "round_trip_time": 3.5, "pipeline": "p1", "model": "' || repeat('m', 240) || '"}'
    ])[1 + n % 10]::jsonb
FROM generate_series(0, 399) n
"""

# The reference server's own statements.
INSERT = "INSERT INTO events (orchestrator, region_id, payload) VALUES ($1, $2, $3)"
DETAILS = "SELECT region_name, event_time, success_rate, payload FROM event_details WHERE orchestrator = $1"

EVERYTHING = "SELECT {} event_time, orchestrator, region_id, payload FROM {} ORDER BY id"


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchboard.limits.MAX_MOVED_ROWS", 200)
    monkeypatch.setattr("orchboard.store.rollups.live_tail.SHARED_READ_S", -1)


class Old:
    """A database of the reference server's last version, with results; `before` is every row of it."""

    def __init__(self, url: str, database: Database, connection: Connection) -> None:
        self.url = url
        self.database = database
        self.connection = connection
        self.reader = MeansReader(
            database, RegionDirectory(database, cache_s=60), VersionCounters.alone(), DatabaseClock()
        )
        self.before: list[asyncpg.Record] = []

    async def connect(self) -> Connection:
        return await asyncpg.connect(self.url)

    async def backfill(self, on_batch: Callable[[int], None] | None = None) -> bool:
        """On a connection of its own."""
        connection = await self.database.connect()
        try:
            return await backfill(connection, RollupBuilder(connection), on_batch=on_batch)
        finally:
            connection.terminate()

    async def migrate(self, version: int | None = None) -> None:
        await migrate_to(self.connect, version)

    async def move_all(self) -> bool:
        """Without summing up anything."""
        connection = await self.database.connect()
        try:
            mover = TableMover(connection)
            await mover.begin()
            await mover.move(timedelta(days=100_000))
            return await mover.finish()
        finally:
            connection.terminate()

    async def rows(self, table: str = "results", columns: str = "id,") -> list[asyncpg.Record]:
        return await self.connection.fetch(EVERYTHING.format(columns, table))

    async def assert_nothing_is_lost(self, table: str = "results") -> None:
        after = await self.rows(table)
        assert after[: len(self.before)] == self.before
        assert len({row["id"] for row in after}) == len(after)

    async def assert_matches_oracle(self, until: datetime) -> None:
        for since in (
            EARLIEST,
            until - timedelta(days=33),
            until - timedelta(days=1),
            until - timedelta(hours=4),
        ):
            assert await assert_matches_oracle(self.connection, self.reader, since, until) > 4
        plain = {tuple(row) for row in await self.connection.fetch(PIPELINES, EARLIEST, until)}
        pipelines = await self.reader.fetch_pipelines(Window(EARLIEST, until), None)
        assert {pipeline.id for pipeline in pipelines} == {pipeline for pipeline, _, _ in plain}

    async def number_left(self) -> int:
        left: int = await self.connection.fetchval("SELECT count(*) FROM events_before")
        return left


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Old]:
    await migrate_to(lambda: asyncpg.connect(url), 3)
    database = Database(url, connections=4, timeout_s=30)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT setseed(0.25)")
        await connection.execute(FILL, RESULTS)
        await connection.execute(AWKWARD)
        old = Old(url, database, connection)
        old.before = await old.rows("events")
        yield old
    finally:
        connection.terminate()
        await database.close()


def on_old(url: str, test: Callable[[Old], Awaitable[None]]) -> None:
    async def run_test() -> None:
        async with asyncio.timeout(60), opened(url) as old:
            await test(old)

    run(run_test())


class Reference:
    """Writes and reads as the reference server does, until the end of the block."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._task: asyncio.Task[None] | None = None
        self._is_over = False
        self.written: list[str] = []

    async def __aenter__(self) -> "Reference":
        self._connection = await asyncpg.connect(self._url)
        self._task = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._is_over = True
        await self._task  # raises what went wrong on the way
        self._connection.terminate()

    async def _write(self) -> None:
        region = await self._connection.fetchval("SELECT id FROM regions WHERE name = 'FRA' LIMIT 1")
        seen = 0
        while not self._is_over:
            payload = f'{{"region": "FRA", "success_rate": 1, "number": "{len(self.written)}"}}'
            assert await self._connection.execute(INSERT, "0xWriter", region, payload) == "INSERT 0 1"
            self.written.append(str(len(self.written)))
            rows = await self._connection.fetch(DETAILS, "0xWriter")
            assert seen < len(rows) <= len(self.written)
            seen = len(rows)
            await asyncio.sleep(0.005)

    async def get_on(self) -> None:
        """Wait until it has written again, begun after this."""
        number = len(self.written)
        while len(self.written) < number + 2:
            assert self._task is not None and not self._task.done()
            await asyncio.sleep(0.005)


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


def test_killed_in_the_midst_it_goes_on_where_it_was(empty_database: str) -> None:
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


def test_it_is_settled_only_when_nothing_is_left_behind_another_mover_that_died(empty_database: str) -> None:
    async def test(old: Old) -> None:
        await old.migrate()
        other, connection = await old.connect(), await old.database.connect()
        dying = other.transaction()
        await dying.start()
        now = await old.connection.fetchval("SELECT now()")
        assert await other.fetchval(sql("move_results"), now, 200) == 200
        assert not await backfill(connection, RollupBuilder(connection))
        await dying.rollback()
        assert await old.number_left() == 200
        await old.assert_nothing_is_lost()
        assert await backfill(connection, RollupBuilder(connection))
        await old.assert_nothing_is_lost("events")
        other.terminate()
        connection.terminate()

    on_old(empty_database, test)


@pytest.mark.parametrize(("version", "share"), [(5, "some"), (3, "some"), (3, "all")])
def test_the_way_back_brings_every_row_back(empty_database: str, version: int, share: str) -> None:
    async def test(old: Old) -> None:
        await old.migrate()
        mover = TableMover(old.connection)
        await mover.begin()
        await mover.move(timedelta(days=1))
        assert await old.number_left()
        if share == "all":
            assert await old.move_all()
        await old.connection.execute(INSERT, "0xLater", 1, "{}")
        await old.migrate(version)
        [*rows, later] = await old.rows("events")
        assert rows == old.before and later["orchestrator"] == "0xLater" and later["id"] > rows[-1]["id"]
        await old.connection.execute(INSERT, "0xLast", 1, "{}")
        await old.migrate()
        assert await old.move_all()
        after = await old.rows("events")
        assert after[:-2] == old.before
        assert [row["orchestrator"] for row in after[-2:]] == ["0xLater", "0xLast"]

    on_old(empty_database, test)


def test_who_may_use_the_tables_and_who_owns_them_stays(empty_database: str) -> None:
    async def test(old: Old) -> None:
        name = empty_database.partition("@/")[2].partition("?")[0]
        owner, reading = f"owner_{name}", f"reading_{name}"
        execute = old.connection.execute
        rights = f"""
            SELECT relname::text, relowner::regrole::text, acl::text
            FROM pg_class LEFT JOIN unnest(relacl) acl ON acl::text LIKE '{reading}%'
            WHERE relname IN ('events', 'event_details') AND relnamespace = 'public'::regnamespace ORDER BY 1
        """
        await execute(f"CREATE ROLE {owner}; CREATE ROLE {reading}")
        try:
            for table in ("events", "event_details", "regions", "job_types"):
                await execute(f"ALTER TABLE {table} OWNER TO {owner}")
            await execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {owner}")
            await execute(f"GRANT SELECT ON event_details TO {reading} WITH GRANT OPTION")
            await execute(f"GRANT SELECT, INSERT ON events TO {reading}")
            await execute(f"GRANT USAGE ON SEQUENCE events_id_seq TO {reading}")
            wanted = await old.connection.fetch(rights)
            assert wanted[0][2] and wanted[1][2]
            for version in (None, 5, None):
                await old.migrate(version)
                assert await old.connection.fetch(rights) == wanted
                for role in (owner, reading):
                    await execute(f"SET ROLE {role}")
                    await execute(INSERT, "0x1", 1, "{}")
                    assert await old.connection.fetchval("SELECT count(*) FROM event_details") > RESULTS
                    await execute("RESET ROLE")
        finally:
            await execute(
                f"RESET ROLE; DROP OWNED BY {reading}, {owner} CASCADE; DROP ROLE {reading}, {owner}"
            )

    on_old(empty_database, test)


def test_a_long_reader_delays_the_settling_and_nobody_else(empty_database: str) -> None:
    async def test(old: Old) -> None:
        await old.migrate()
        reading, connection = await old.connect(), await old.database.connect()
        async with Reference(old.url) as reference:
            async with reading.transaction():
                await reading.fetchval("SELECT count(*) FROM event_details")
                for _ in range(2):
                    assert not await backfill(connection, RollupBuilder(connection))
                    await reference.get_on()
                progress = await fetch_progress(old.connection)
                assert not progress.is_settled and await old.number_left() == 0
                assert await old.connection.fetchval("SELECT count(*) FROM spans WHERE level > 1") > 30
            assert await backfill(connection, RollupBuilder(connection))
        await old.assert_nothing_is_lost("events")
        reading.terminate()
        connection.terminate()

    on_old(empty_database, test)


def test_a_long_reader_delays_the_change_of_the_schema_and_nobody_else(empty_database: str) -> None:
    async def test(old: Old) -> None:
        await old.migrate(5)
        reading = await old.connect()
        async with Reference(old.url) as reference:
            async with reading.transaction():
                await reading.fetchval("SELECT count(*) FROM event_details")
                migrating: asyncio.Task[None] = asyncio.create_task(old.migrate())
                await asyncio.sleep(0.8)
                await reference.get_on()
                assert not migrating.done()
            await migrating
            await reference.get_on()
        await old.assert_nothing_is_lost()
        reading.terminate()

    on_old(empty_database, test)
