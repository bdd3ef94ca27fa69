"""A database with random results, a reader of its rollups, and comparisons with plain queries."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.connection.types import Connection
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import Database
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.rollups.reader import MeansReader
from tests.support.database import run
from tests.support.oracle_queries import assert_matches_oracle

_INSERT = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT
    now() - AGE,
    (ARRAY['0xaa', '0xBb', '0xbb', '0xcc', ''])[1 + floor(random() * 4.05)::integer],
    r.id,
    CASE
        WHEN n % 97 = 0 THEN '[1, 2]'
        WHEN n % 89 = 0 THEN '{"success_rate": "x", "round_trip_time": {}}'
        ELSE jsonb_strip_nulls(jsonb_build_object(
            'success_rate', CASE WHEN random() < 0.8 THEN 1 ELSE round(random()::numeric, 2) END,
            'round_trip_time', CASE WHEN n % 83 = 0 THEN -1 WHEN n % 79 = 0 THEN 0 ELSE exp(4 * random()) END,
            'seg_duration', CASE WHEN random() < 0.5 THEN 2 END,
            'pipeline', CASE WHEN j.name = 'ai' OR n % 7 = 0 THEN 'p' || n % 2 END,
            'model', CASE WHEN j.name = 'ai' THEN 'm' || n % 3 END,
            'test_outcome', CASE WHEN n % 11 = 0 THEN 'unscored_timeout' END
        ))
    END
FROM generate_series(1, $1::integer) n
JOIN LATERAL (SELECT id, job_type_id FROM regions WHERE name IN ('FRA', 'MDW') ORDER BY random(), n LIMIT 1) r ON true
JOIN job_types j ON j.id = r.job_type_id
"""
# Random results, valid and invalid, over the last 75 days.
INSERT_RANDOM_RESULTS = _INSERT.replace("AGE", "interval '75 days' * power(random(), 2)")
# Within two hours before each of four times. No rollups are built of most of the time between, so that all of them are built in
# a tenth of the time; each granularity has buckets with results, empty ones, and gaps.
INSERT_ISLANDS = _INSERT.replace(
    "AGE",
    "(interval '1 day' * (ARRAY[0, 0, 1.3, 6.5, 33])[1 + floor(random() * 5)::integer] + interval '2 hours' * random())",
)


class RollupDatabase:
    """A database with results and a reader of its rollups."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self.database = database
        self.connection = connection
        self.changes = VersionCounters.alone()
        self.reader = MeansReader(
            database, RegionDirectory(database, cache_s=60), self.changes, DatabaseClock()
        )

    async def materialize(self) -> int:
        return await RollupBuilder(self.connection).run()

    async def compare(self, windows: int = 12, seed: int = 1) -> None:
        """Compare random windows, from minutes to all time, with the plain queries."""
        chance, now = random.Random(seed), await self.connection.fetchval("SELECT now()")
        groups = await assert_matches_oracle(self.connection, self.reader, now - timedelta(days=99), now)
        assert groups > 20
        for _ in range(windows):
            days = 10 ** chance.uniform(-2, 1.9)
            until = now - timedelta(days=chance.uniform(0, 76 - days))
            since = until - timedelta(days=days)
            if chance.random() < 0.3:
                since = since.replace(hour=0, minute=0, second=0, microsecond=0)
            await assert_matches_oracle(self.connection, self.reader, since, until)

    async def compare_last(self, length: timedelta) -> None:
        """Compare the newest results with the plain queries."""
        now = await self.connection.fetchval("SELECT clock_timestamp()")
        await assert_matches_oracle(self.connection, self.reader, now - length, now)

    async def insert(self, event_time: datetime) -> None:
        """Insert a result of `0xdd` as another program would."""
        await self.connection.execute(
            "INSERT INTO events (event_time, orchestrator, region_id, payload) "
            "SELECT $1, '0xdd', id, jsonb_build_object('success_rate', 1, 'round_trip_time', 3, 'model', 'm', "
            "'pipeline', 'p') FROM regions WHERE name = 'FRA'",
            event_time,
        )


@asynccontextmanager
async def open_rollup_database(
    url: str, *, results: int, statement: str = INSERT_RANDOM_RESULTS
) -> AsyncIterator[RollupDatabase]:
    """results -- the number that `statement` inserts; 0: the database is used as it is"""
    database = Database(url, connections=4, timeout_s=30)
    connection = await database.connect()
    try:
        await connection.execute("SELECT setseed(0.5)")
        await connection.execute(statement, results)
        yield RollupDatabase(database, connection)
    finally:
        connection.terminate()
        await database.close()


def with_rollup_database(
    url: str,
    test: Callable[[RollupDatabase], Awaitable[None]],
    *,
    results: int = 1500,
    statement: str = INSERT_RANDOM_RESULTS,
) -> None:
    async def run_test() -> None:
        async with open_rollup_database(url, results=results, statement=statement) as board:
            await test(board)

    run(run_test())


def with_islands(url: str, test: Callable[[RollupDatabase], Awaitable[None]]) -> None:
    """Run a test on results at four times, none of them materialized."""
    with_rollup_database(url, test, results=400, statement=INSERT_ISLANDS)


def with_materialized(url: str, test: Callable[[RollupDatabase], Awaitable[None]]) -> None:
    """Run a test on a clone of what `prepare_random_results` or `prepare_islands` has prepared."""

    async def build_and_test(board: RollupDatabase) -> None:
        await board.materialize()  # what has ended since
        await test(board)

    with_rollup_database(url, build_and_test, results=0)


async def prepare_random_results(url: str) -> None:
    """A database with random results, all materialized."""
    async with open_rollup_database(url, results=1500) as board:
        await board.materialize()


async def prepare_islands(url: str) -> None:
    """The same with INSERT_ISLANDS."""
    async with open_rollup_database(url, results=400, statement=INSERT_ISLANDS) as board:
        await board.materialize()
