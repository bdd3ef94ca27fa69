"""The latest transcoding results in memory equal those of the whole window, whatever changed; a read costs what is new."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from orchboard.store.postgres.database import Database
from orchboard.store.raw_results.latest_transcoding import LatestTranscodingReader
from tests.support.database import run

INSERT = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT coalesce($1, clock_timestamp()), '0xa' || n % 5, r.id, jsonb_build_object('success_rate', random(), 'upload_time', n)
FROM generate_series(1, $2::integer) n
JOIN LATERAL (
    SELECT r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id WHERE j.name = 'transcoding' ORDER BY r.id OFFSET n % 3 LIMIT 1
) r ON TRUE
"""
CHANGES = (
    "DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY event_time DESC LIMIT 9)",
    "UPDATE events SET event_time = event_time - interval '2 hours' WHERE id % 3 = 0",
    'UPDATE events SET payload = payload || \'{"test_outcome": "unscored"}\' WHERE id % 4 = 0',
    "UPDATE regions SET name = 'XXX' WHERE id = (SELECT max(region_id) FROM events)",
    "UPDATE events SET event_time = event_time - interval '40 hours' WHERE orchestrator = '0xa1'",
)


class CountingDatabase(Database):
    """Notes the beginning of each read."""

    def __init__(self, url: str) -> None:
        super().__init__(url, connections=2, timeout_s=20)
        self.read_since: list[datetime] = []

    async def fetch(self, statement: str, *arguments: Any, **options: Any) -> list[asyncpg.Record]:
        self.read_since.append(arguments[0])
        return await super().fetch(statement, *arguments, **options)


@pytest.fixture
def database(database_url: str) -> CountingDatabase:
    return CountingDatabase(database_url)


def test_they_equal_those_of_the_whole_window_after_any_change(
    database_url: str, database: CountingDatabase
) -> None:
    async def compare() -> None:
        reader = LatestTranscodingReader(database)
        connection, other = [await asyncpg.connect(database_url) for _ in range(2)]
        now = await connection.fetchval("SELECT now()")
        since = now - timedelta(hours=24)

        async def found() -> int:
            latest = await reader.fetch(since)
            assert latest == await LatestTranscodingReader(database).fetch(since)
            return len(latest)

        assert await found() == 0
        for hours in range(30):
            await connection.execute(INSERT, now - timedelta(hours=hours), 20)
        assert await found() == 15
        await connection.execute(INSERT, None, 3)
        assert await found() == 15
        transaction = other.transaction()
        await transaction.start()
        await other.execute(INSERT, None, 4)
        await connection.execute(INSERT, None, 3)
        assert await found() == 15
        await transaction.commit()
        assert await found() == 15
        for change in CHANGES:
            await connection.execute(change)
            assert 9 <= await found() <= 15
        connection.terminate()
        other.terminate()
        await database.close()

    run(compare())


def test_a_read_begins_where_the_last_one_ended(database_url: str, database: CountingDatabase) -> None:
    async def test() -> None:
        reader = LatestTranscodingReader(database)
        connection = await asyncpg.connect(database_url)
        now = await connection.fetchval("SELECT now()")
        await connection.execute(INSERT, now - timedelta(hours=1), 20)
        # While a transaction of any database of this cluster that wrote before the first read is open, all is read again.
        while not database.read_since or database.read_since[-1] < now - timedelta(minutes=2):
            await connection.execute(INSERT, None, 5)
            assert len(await reader.fetch(now - timedelta(hours=24))) == 15
            await asyncio.sleep(0.05)
        assert database.read_since[0] == now - timedelta(hours=24)
        connection.terminate()
        await database.close()

    run(test())
