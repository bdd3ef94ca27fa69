"""A database that was migrated from the reference server's version 3 with results."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import asyncpg

from orchboard.stats import Window
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.connection.types import Connection
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.legacy_import.backfill import backfill
from orchboard.store.legacy_import.table_mover import TableMover
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import Database
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.rollups.reader import MeansReader
from orchboard.store.schema.migrate import migrate_to
from orchboard.window import EARLIEST
from tests.support.database import run
from tests.support.oracle_queries import PIPELINES, assert_matches_oracle

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
