"""The cache of materialized buckets stays within its size and drops unused entries."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from orchboard.stats import JobType, StatsQuery, Window
from orchboard.store.sql_files import sql
from tests.support.rollup_database import RollupDatabase, with_materialized

DAY = timedelta(days=1)


@pytest.mark.parametrize(("max_bytes", "unused_s"), [(1, 100.0), (20_000, 100.0), (10**7, -1.0)])
def test_answers_are_correct_whatever_the_cache_size(
    random_results: str, monkeypatch: pytest.MonkeyPatch, max_bytes: int, unused_s: float
) -> None:
    monkeypatch.setattr("orchboard.limits.ROLLUP_CACHE_BYTES", max_bytes)
    monkeypatch.setattr("orchboard.limits.ROLLUP_CACHE_IDLE_S", unused_s)
    monkeypatch.setattr("orchboard.limits.ROLLUP_READ_BYTES", max_bytes)
    monkeypatch.setattr("orchboard.limits.RESULT_KEYS_BYTES", 0)
    monkeypatch.setattr("orchboard.store.rollups.statistics._MAX_ADDENDS", 5)

    async def test(board: RollupDatabase) -> None:
        await board.compare(windows=4)

    with_materialized(random_results, test)


def test_an_unused_entry_is_evicted_when_another_is_added(
    random_results: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.limits.ROLLUP_CACHE_IDLE_S", 0.5)

    async def test(board: RollupDatabase) -> None:
        now, read, fetch = await board.connection.fetchval("SELECT now()"), list[str](), board.database.fetch

        async def noted(statement: str, *arguments: Any, **options: Any) -> Any:
            read.append(statement)
            return await fetch(statement, *arguments, **options)

        monkeypatch.setattr(board.database, "fetch", noted)

        async def is_read(since: datetime, until: datetime) -> bool:
            read.clear()
            query = StatsQuery(job_type=JobType.TRANSCODING, window=Window(since, until))
            await board.reader.fetch_means(query)
            return sql("bucket_sums") in read

        old, new = (now - 70 * DAY, now - 40 * DAY), (now - 30 * DAY, now - 5 * DAY)
        assert await is_read(*old)
        assert not await is_read(*old)
        assert await is_read(*new)
        assert not await is_read(*old)
        await asyncio.sleep(0.6)
        assert not await is_read(*old), "nothing was added"
        await asyncio.sleep(0.1)
        assert await is_read(now - 4 * DAY, now - DAY)
        assert not await is_read(*old)
        assert await is_read(*new)

    with_materialized(random_results, test)
