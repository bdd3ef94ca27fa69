"""The live tail misses no result, whoever inserted it and however long its transaction took."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from orchboard.errors import DatabaseUnavailableError
from orchboard.stats import JobType, StatsQuery, Window
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.rollups import reader, statistics
from orchboard.store.sql_files import sql
from tests.support.rollup_database import (
    RollupDatabase,
    with_islands,
    with_materialized,
    with_rollup_database,
)

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _every_request_refreshes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write with SQL and query at once."""
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", -1)


def counted(board: RollupDatabase, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each statement was sent from now on."""
    sent: Counter[str] = Counter()
    fetch = board.database.fetch

    async def count(statement: str, *arguments: Any, **options: Any) -> Any:
        sent[statement] += 1
        return await fetch(statement, *arguments, **options)

    monkeypatch.setattr(board.database, "fetch", count)
    return sent


async def now_of(board: RollupDatabase) -> Any:
    return await board.connection.fetchval("SELECT clock_timestamp()")


def test_each_new_result_is_in_the_next_refresh(random_results: str) -> None:
    async def test(board: RollupDatabase) -> None:
        for _ in range(10):
            await board.insert(await now_of(board))
            await board.compare_last(HOUR)

    with_materialized(random_results, test)


def test_a_result_of_a_slow_transaction_is_not_missed(random_results: str) -> None:
    async def test(board: RollupDatabase) -> None:
        slow = await board.database.connect()
        try:
            transaction = slow.transaction()
            await transaction.start()
            await RollupDatabase(board.database, slow).insert(await now_of(board))
            await asyncio.sleep(1.2)
            for _ in range(3):  # refreshes continue, past its receipt time
                await board.insert(await now_of(board))
                await board.compare_last(HOUR)
            await transaction.commit()
        finally:
            slow.terminate()
        await board.compare_last(HOUR)

    with_materialized(random_results, test)


def test_a_result_inserted_with_an_earlier_receipt_time_is_in_the_next_refresh(random_results: str) -> None:
    async def test(board: RollupDatabase) -> None:
        for late_s in (0.2, 0.9, 1.1, 1.9, 2.1, 30, 600, 7200):
            await board.insert(await now_of(board))
            await board.compare_last(HOUR)
            await board.insert(await now_of(board) - timedelta(seconds=late_s))
            await board.compare_last(HOUR * 3)

    with_materialized(random_results, test)


def test_a_deleted_result_is_not_in_the_next_refresh(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        for _ in range(4):
            await board.insert(await now_of(board))
        await asyncio.sleep(1.1)
        await board.compare_last(HOUR)
        await board.connection.execute("DELETE FROM events WHERE orchestrator = '0xdd'")
        await board.compare_last(HOUR)

    with_rollup_database(database_url, test)


def test_results_that_are_materialized_meanwhile_are_counted_once(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.compare_last(HOUR)
        now = await now_of(board)
        for minutes in range(1, 60, 3):
            await board.insert(now - timedelta(minutes=minutes))
        await board.compare_last(HOUR)
        await board.materialize()
        await board.compare_last(HOUR)
        late = now - timedelta(minutes=5)
        async with board.connection.transaction():
            await board.insert(late)
        await board.compare_last(HOUR)

    with_islands(database_url, test)


def test_more_results_than_fit_into_memory_are_counted(
    random_results: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.limits.MAX_TAIL_RESULTS", 20)

    async def test(board: RollupDatabase) -> None:
        for _ in range(3):
            for _ in range(15):
                await board.insert(await now_of(board))
            await board.compare_last(HOUR)

    with_materialized(random_results, test)


def test_one_refresh_serves_all_concurrent_requests(
    quiet_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.materialize()
        await board.compare_last(HOUR)
        sent, now = counted(board, monkeypatch), await now_of(board)
        query = StatsQuery(job_type=JobType.TRANSCODING, window=Window(now - HOUR, now))
        await board.reader.fetch_means(query)
        assert (sent[sql("snapshot")], sent[sql("tail_results")]) == (1, 0)  # nothing was written
        sent.clear()
        board.changes.invalidate_all()
        await asyncio.gather(*(board.reader.fetch_means(query) for _ in range(20)))
        assert sent[sql("tail_results")] == 1
        assert sent[sql("bucket_sums")] == 0

    with_islands(quiet_database_url, test)


async def until_unchanged(board: RollupDatabase) -> None:
    """Query twice: the second refresh finds no change, as nobody else writes to the server."""
    for _ in range(2):
        await board.reader.fetch_pipelines(await last_hour(board), None)
    assert board.reader._memory.tail.was_unchanged


async def last_hour(board: RollupDatabase) -> Window:
    now = await now_of(board)
    return Window(now - HOUR, now)


@pytest.mark.parametrize("job_type", JobType)
def test_an_answer_computed_during_a_refresh_is_computed_again_if_the_refresh_finds_a_change(
    quiet_database_url: str, job_type: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts the answers that were computed from memory and discarded."""

    async def test(board: RollupDatabase) -> None:
        made: list[int] = []
        add_up = statistics.add_up

        def count(*arguments: Any) -> Any:
            made.append(1)
            return add_up(*arguments)

        monkeypatch.setattr(reader, "add_up", count)
        await board.materialize()
        made_twice = 0
        for number in range(8):
            await until_unchanged(board)
            await board.insert(await now_of(board))
            made.clear()
            query = StatsQuery(job_type=job_type, window=await last_hour(board), orchestrator="0xdd")
            found = await board.reader.fetch_means(query)
            if job_type is JobType.AI:
                assert found.results.sum() == number + 1
            made_twice += len(made) == 2
            await board.compare_last(HOUR)
        assert made_twice > 4

    with_islands(quiet_database_url, test)


def test_an_answer_computed_during_a_failed_refresh_is_not_returned(
    quiet_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(board: RollupDatabase) -> None:
        await until_unchanged(board)
        fetch = board.database.fetch

        async def fail(statement: str, *arguments: Any, **options: Any) -> Any:
            if statement == sql("snapshot"):
                raise DatabaseUnavailableError("unavailable")
            return await fetch(statement, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(board.database, "fetch", fail)
            with pytest.raises(DatabaseUnavailableError):
                await board.reader.fetch_pipelines(await last_hour(board), None)
        await board.compare_last(HOUR)

    with_rollup_database(quiet_database_url, test)


def test_waiters_retry_when_the_leader_of_a_refresh_is_cancelled(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.compare_last(HOUR)
        board.changes.invalidate_all()
        window = await last_hour(board)
        first, *others = [asyncio.create_task(board.reader.fetch_pipelines(window, None)) for _ in range(3)]
        await asyncio.sleep(0)
        first.cancel()
        assert len({str(found) for found in await asyncio.gather(*others)}) == 1
        with pytest.raises(asyncio.CancelledError):
            await first

    with_rollup_database(database_url, test)


@pytest.mark.parametrize("note", [VersionCounters.invalidate_all, VersionCounters.note_external_write])
def test_a_refresh_serves_later_requests_while_no_change_is_known(
    database_url: str, monkeypatch: pytest.MonkeyPatch, note: Callable[[VersionCounters], None]
) -> None:
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", 60)

    async def test(board: RollupDatabase) -> None:
        await board.compare_last(HOUR)
        sent, now = counted(board, monkeypatch), await now_of(board)
        query = StatsQuery(job_type=JobType.TRANSCODING, window=Window(now - HOUR, now))
        for _ in range(3):
            await board.reader.fetch_means(query)
        assert sent[sql("tail_results")] == 0
        note(board.changes)
        await board.reader.fetch_means(query)
        assert sent[sql("tail_results")] == 1

    with_rollup_database(database_url, test)


@pytest.mark.parametrize("fails_at", ["tail_results", "coverage", "groups"])
def test_a_failed_refresh_changes_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.compare_last(HOUR)
        now = await now_of(board)
        await board.insert(now - timedelta(minutes=2))
        await board.materialize()
        fetch = board.database.fetch

        async def fail(statement: str, *arguments: Any, **options: Any) -> Any:
            if statement == sql(fails_at):
                raise DatabaseUnavailableError("unavailable")
            return await fetch(statement, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(board.database, "fetch", fail)
            with pytest.raises(DatabaseUnavailableError):
                await board.compare(windows=0)
        await board.compare(windows=3)

    with_islands(database_url, test)
