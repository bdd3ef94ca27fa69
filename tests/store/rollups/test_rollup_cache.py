"""What is kept of sealed spans: never more than it may be, and no longer than somebody uses it."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from orchboard.stats import JobType, StatsQuery, Window
from orchboard.store.sql_files import sql
from tests.support.rollup_database import RollupDatabase, with_rollup_database

DAY = timedelta(days=1)


@pytest.mark.parametrize(("max_bytes", "unused_s"), [(1, 100.0), (20_000, 100.0), (10**7, -1.0)])
def test_answers_are_right_however_little_is_kept(
    database_url: str, monkeypatch: pytest.MonkeyPatch, max_bytes: int, unused_s: float
) -> None:
    monkeypatch.setattr("orchboard.store.rollups.rollup_cache.MAX_BYTES", max_bytes)
    monkeypatch.setattr("orchboard.store.rollups.rollup_cache.UNUSED_S", unused_s)

    async def test(board: RollupDatabase) -> None:
        await board.seal()
        await board.compare(windows=4)

    with_rollup_database(database_url, test)


def test_what_nobody_uses_is_forgotten_when_something_new_comes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.rollups.rollup_cache.UNUSED_S", 0.5)

    async def test(board: RollupDatabase) -> None:
        await board.seal()
        now, read, fetch = await board.connection.fetchval("SELECT now()"), list[str](), board.database.fetch

        async def noted(statement: str, *arguments: Any, **options: Any) -> Any:
            read.append(statement)
            return await fetch(statement, *arguments, **options)

        monkeypatch.setattr(board.database, "fetch", noted)

        async def is_read(since: datetime, until: datetime) -> bool:
            read.clear()
            query = StatsQuery(job_type=JobType.TRANSCODING, window=Window(since, until))
            await board.reader.fetch_means(query)
            return sql("segments") in read

        old, new = (now - 70 * DAY, now - 40 * DAY), (now - 30 * DAY, now - 5 * DAY)
        assert await is_read(*old)
        assert not await is_read(*old)
        assert await is_read(*new)
        assert not await is_read(*old)
        await asyncio.sleep(0.6)
        assert not await is_read(*old), "nothing new came"
        await asyncio.sleep(0.1)
        assert await is_read(now - 4 * DAY, now - DAY)
        assert not await is_read(*old)
        assert await is_read(*new)

    with_rollup_database(database_url, test)
