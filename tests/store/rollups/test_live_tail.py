"""The newest results in memory: nothing is missing in them, whoever wrote it and however long that took."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from orchboard.errors import DatabaseUnavailableError
from orchboard.stats import JobType, StatsQuery, Window
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.rollups import group_sums, reader
from orchboard.store.sql_files import sql
from tests.support.rollup_database import RollupDatabase, with_rollup_database

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _no_reading_serves_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write behind the server's back, and ask at once."""
    monkeypatch.setattr("orchboard.store.rollups.live_tail.SHARED_READ_S", -1)


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


def test_each_new_result_is_there_in_the_next_reading(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.seal()
        for _ in range(10):
            await board.insert(await now_of(board))
            await board.compare_last(HOUR)

    with_rollup_database(database_url, test)


def test_a_result_that_was_long_on_its_way_is_not_missed(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.seal()
        slow = await board.database.connect()
        try:
            transaction = slow.transaction()
            await transaction.start()
            await RollupDatabase(board.database, slow).insert(await now_of(board))
            await asyncio.sleep(1.2)
            for _ in range(3):  # readings go on meanwhile, and past its receipt time
                await board.insert(await now_of(board))
                await board.compare_last(HOUR)
            await transaction.commit()
        finally:
            slow.terminate()
        await board.compare_last(HOUR)

    with_rollup_database(database_url, test)


def test_a_result_inserted_with_an_earlier_receipt_time_is_in_the_next_reading(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.seal()
        for late_s in (0.2, 0.9, 1.1, 1.9, 2.1, 30, 600, 7200):
            await board.insert(await now_of(board))
            await board.compare_last(HOUR)
            await board.insert(await now_of(board) - timedelta(seconds=late_s))
            await board.compare_last(HOUR * 3)

    with_rollup_database(database_url, test)


def test_a_removed_result_is_gone_in_the_next_reading(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        for _ in range(4):
            await board.insert(await now_of(board))
        await asyncio.sleep(1.1)
        await board.compare_last(HOUR)
        await board.connection.execute("DELETE FROM events WHERE orchestrator = '0xdd'")
        await board.compare_last(HOUR)

    with_rollup_database(database_url, test)


def test_what_is_summed_up_meanwhile_is_counted_once(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.compare_last(HOUR)
        now = await now_of(board)
        for minutes in range(1, 60, 3):
            await board.insert(now - timedelta(minutes=minutes))
        await board.compare_last(HOUR)
        await board.seal()
        await board.compare_last(HOUR)
        late = now - timedelta(minutes=5)
        async with board.connection.transaction():
            await board.insert(late)
        await board.compare_last(HOUR)

    with_rollup_database(database_url, test)


def test_more_than_may_be_held_is_answered_all_the_same(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.rollups.live_tail.MOST_HELD", 20)

    async def test(board: RollupDatabase) -> None:
        await board.seal()
        for _ in range(3):
            for _ in range(15):
                await board.insert(await now_of(board))
            await board.compare_last(HOUR)

    with_rollup_database(database_url, test)


def test_one_reading_serves_all_who_came_before_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.seal()
        await board.compare_last(HOUR)
        sent, now = counted(board, monkeypatch), await now_of(board)
        query = StatsQuery(job_type=JobType.TRANSCODING, window=Window(now - HOUR, now))
        for _ in range(20):  # a test beside this one may write to a database of the same Postgres
            sent.clear()
            await board.reader.fetch_means(query)
            if sent[sql("sync")] == 0:
                break
        assert (sent[sql("snapshot")], sent[sql("sync")]) == (1, 0)  # nobody has written
        for _ in range(20):  # as above
            sent.clear()
            board.changes.invalidate_all()
            await asyncio.gather(*(board.reader.fetch_means(query) for _ in range(20)))
            if sent[sql("sync")] == 1:
                break
        assert sent[sql("sync")] == 1
        assert sent[sql("segments")] == 0

    with_rollup_database(database_url, test)


async def until_it_is_quiet(board: RollupDatabase) -> None:
    """Read until nobody has written since the last reading; a test beside this one may, to the same Postgres."""
    for _ in range(200):
        if board.reader._held.recent._was_unchanged:
            return
        await board.reader.fetch_pipelines(await last_hour(board), None)
    raise AssertionError("somebody always writes")


async def last_hour(board: RollupDatabase) -> Window:
    now = await now_of(board)
    return Window(now - HOUR, now)


@pytest.mark.parametrize("job_type", JobType)
def test_an_answer_made_while_the_database_was_asked_is_made_again_if_there_is_more(
    database_url: str, job_type: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers that were made of what was at hand, and not given, are counted."""

    async def test(board: RollupDatabase) -> None:
        made: list[int] = []
        add_up = group_sums.add_up

        def count(*arguments: Any) -> Any:
            made.append(1)
            return add_up(*arguments)

        monkeypatch.setattr(reader, "add_up", count)
        await board.seal()
        made_twice = 0
        for number in range(8):
            await until_it_is_quiet(board)
            await board.insert(await now_of(board))
            made.clear()
            query = StatsQuery(job_type=job_type, window=await last_hour(board), orchestrator="0xdd")
            found = await board.reader.fetch_means(query)
            if job_type is JobType.AI:
                assert found.results.sum() == number + 1
            made_twice += len(made) == 2
            await board.compare_last(HOUR)
        assert made_twice > 4

    with_rollup_database(database_url, test)


def test_an_answer_made_while_the_database_fails_is_not_given(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(board: RollupDatabase) -> None:
        await until_it_is_quiet(board)
        fetch = board.database.fetch

        async def fail(statement: str, *arguments: Any, **options: Any) -> Any:
            if statement == sql("snapshot"):
                raise DatabaseUnavailableError("away")
            return await fetch(statement, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(board.database, "fetch", fail)
            with pytest.raises(DatabaseUnavailableError):
                await board.reader.fetch_pipelines(await last_hour(board), None)
        await board.compare_last(HOUR)

    with_rollup_database(database_url, test)


def test_who_reads_for_all_and_is_broken_off_leaves_the_others_their_reading(database_url: str) -> None:
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
def test_a_reading_serves_for_a_moment_while_nobody_is_known_to_store_anything(
    database_url: str, monkeypatch: pytest.MonkeyPatch, note: Callable[[VersionCounters], None]
) -> None:
    monkeypatch.setattr("orchboard.store.rollups.live_tail.SHARED_READ_S", 60)

    async def test(board: RollupDatabase) -> None:
        await board.compare_last(HOUR)
        sent, now = counted(board, monkeypatch), await now_of(board)
        query = StatsQuery(job_type=JobType.TRANSCODING, window=Window(now - HOUR, now))
        for _ in range(3):
            await board.reader.fetch_means(query)
        assert sent[sql("sync")] == 0
        note(board.changes)
        await board.reader.fetch_means(query)
        assert sent[sql("sync")] == 1

    with_rollup_database(database_url, test)


@pytest.mark.parametrize("fails_at", ["sync", "coverage", "series"])
def test_a_reading_that_fails_changes_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.compare_last(HOUR)
        now = await now_of(board)
        await board.insert(now - timedelta(minutes=2))
        await board.seal()
        fetch = board.database.fetch

        async def fail(statement: str, *arguments: Any, **options: Any) -> Any:
            if statement == sql(fails_at):
                raise DatabaseUnavailableError("away")
            return await fetch(statement, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(board.database, "fetch", fail)
            with pytest.raises(DatabaseUnavailableError):
                await board.compare(windows=0)
        await board.compare(windows=3)

    with_rollup_database(database_url, test)
