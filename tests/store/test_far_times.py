"""Results whose receipt time no clock shows: the reference's migration makes them of timestamps in milliseconds."""

import asyncio

import asyncpg
import pytest

from orchboard.stats import JobType, StatsQuery, Window
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.legacy_import.backfill import backfill, fetch_progress
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import Database
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.rollups.reader import MeansReader
from orchboard.store.schema.migrate import migrate_to
from orchboard.window import EARLIEST
from tests.support.database import run

FAR = [
    "55840-01-02", "infinity", "-infinity", "4000-01-01 BC", "9999-12-31", "9999-12-30", "0001-01-01",
    "0001-01-02", "2100-01-01",
]  # fmt: skip
INSERT = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT $1::text::timestamptz, '0x1', id, '{"success_rate": 1, "round_trip_time": 2}' FROM regions WHERE name = 'TOR'
"""


async def _fill(connection: asyncpg.Connection, url: str) -> None:
    await migrate_to(lambda: asyncpg.connect(url), 3)
    for moment in (*FAR, *FAR, "2024-05-01", "now"):  # a window can reach four of them
        await connection.execute(INSERT, moment)


@pytest.mark.parametrize("batch", [1, 4, 5000])
def test_a_takeover_moves_and_sums_up_past_far_times(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("orchboard.limits.MAX_MOVED_ROWS", batch)

    async def test() -> None:
        connection = await asyncpg.connect(empty_database)
        database = Database(empty_database, connections=2, timeout_s=20)
        try:
            await _fill(connection, empty_database)
            rows = "SELECT id, event_time::text, payload FROM {} ORDER BY id"
            before = await connection.fetch(rows.format("events"))
            await database.open()
            for _ in range(2):  # the second one finds what the first has left
                assert await asyncio.wait_for(backfill(connection, RollupBuilder(connection)), 30)
            assert await connection.fetch(rows.format("events")) == before
            progress = await fetch_progress(connection)
            assert progress.is_settled and progress.is_done
            reader = MeansReader(
                database, RegionDirectory(database, cache_s=60), VersionCounters.alone(), DatabaseClock()
            )
            until = await connection.fetchval("SELECT now()")
            query = StatsQuery(job_type=JobType.TRANSCODING, window=Window(EARLIEST, until))
            assert (await reader.fetch_means(query)).results.tolist() == [4]
            for moment in (*FAR, "2024-05-01"):
                await connection.execute(INSERT, moment)
            await connection.execute("DELETE FROM events WHERE id <= 9")
            await asyncio.wait_for(RollupBuilder(connection).run(), 30)
            assert await connection.fetchval("SELECT bool_and(is_applied) FROM rollup_invalidations")
        finally:
            connection.terminate()
            await database.close()

    run(test())
