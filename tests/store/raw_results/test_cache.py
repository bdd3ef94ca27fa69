"""Cached rows equal the stored results, in order."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from orchboard.stats import JobType, StatsQuery, Window
from orchboard.store.postgres.clock import DatabaseClock, to_pg_time
from orchboard.store.raw_results.cache import RawResultsCache
from orchboard.store.sql_files import sql
from tests.support.rollup_database import RollupDatabase, with_rollup_database

DAY = timedelta(days=1)
STORED = """
SELECT e.payload ->> 'pipeline' AS pipeline, e.payload ->> 'model' AS model, r.name AS region, e.payload
FROM events e JOIN regions r ON r.id = e.region_id JOIN job_types j ON j.id = r.job_type_id
WHERE lower(e.orchestrator) = $1 AND j.name = $2 AND e.event_time BETWEEN $3 AND $4
ORDER BY e.event_time DESC, e.id DESC
"""


@pytest.fixture(autouse=True)
def _no_reading_serves_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write with SQL and query at once."""
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", -1)
    monkeypatch.setattr("orchboard.limits.RAW_COUNT_INTERVAL_S", -1)


async def fetch_all(rows: RawResultsCache, query: StatsQuery) -> list[tuple[str, bytes]]:
    """Rows of an answer that is not streamed."""
    found = await rows.fetch(query)
    assert isinstance(found, list)
    return found


async def assert_as_stored(
    board: RollupDatabase, rows: RawResultsCache, since: datetime, until: datetime, orchestrator: str = "0xbb"
) -> int:
    """Compare all filters in one window; returns the number of rows."""
    number = 0
    for job_type in JobType:
        stored = await board.connection.fetch(STORED, orchestrator, job_type, since, until)
        for region, pipeline, model in (
            (None, None, None), ("FRA", None, None), (None, "p1", None), ("MDW", "p0", "m1")
        ):  # fmt: skip
            expected = [
                payload_number(row["payload"])
                for row in stored
                if region in (None, row["region"])
                and pipeline in (None, row["pipeline"])
                and model in (None, row["model"])
            ]
            query = StatsQuery(
                job_type=job_type, window=Window(since, until), orchestrator=orchestrator, region=region,
                pipeline=pipeline, model=model,
            )  # fmt: skip
            found = [json.loads(text)["round_trip_time"] for _, text in await fetch_all(rows, query)]
            assert found == expected
            number += len(found)
    return number


def payload_number(payload: str) -> float:
    members = json.loads(payload)
    value = members.get("round_trip_time", 0) if isinstance(members, dict) else 0
    return value if isinstance(value, int | float) else 0


async def now_of(board: RollupDatabase) -> Any:
    return await board.connection.fetchval("SELECT clock_timestamp()")


def note_what_is_read(board: RollupDatabase, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the records that each statement returns from now on."""
    read: list[int] = []
    fetch = board.database.fetch

    async def noted(statement: str, *arguments: Any, **options: Any) -> Any:
        found = await fetch(statement, *arguments, **options)
        if statement != sql("raw_counts"):
            read.append(len(found))
        return found

    monkeypatch.setattr(board.database, "fetch", noted)
    return read


async def insert(board: RollupDatabase, event_time: datetime, number: int) -> None:
    await board.connection.execute(
        "INSERT INTO events (event_time, orchestrator, region_id, payload) SELECT $1, '0xBB', r.id, "
        "jsonb_build_object('region', r.name, 'orchestrator', '0xBB', 'round_trip_time', $2::integer) "
        "FROM regions r WHERE r.name = 'MDW' ORDER BY r.id LIMIT 1",
        event_time,
        number,
    )


@pytest.mark.parametrize("is_analysed", [True, False])
@pytest.mark.parametrize("largest_bytes", [10**6, 13_000, 1000])
def test_every_window_and_filter_equals_the_stored_results(
    database_url: str, monkeypatch: pytest.MonkeyPatch, largest_bytes: int, is_analysed: bool
) -> None:
    """Also for an orchestrator with too many results to cache, completely or in part; whatever the planner's statistics."""
    monkeypatch.setattr("orchboard.store.raw_results.cache.MAX_RANGE_BYTES", largest_bytes)

    async def test(board: RollupDatabase) -> None:
        if is_analysed:
            await board.connection.execute("VACUUM ANALYZE")
        rows, now = RawResultsCache(board.database, board.changes, DatabaseClock()), await now_of(board)
        assert await assert_as_stored(board, rows, now - DAY, now) > 20
        for since, until in ((1.0, 0.0), (0.5, 0.2), (1.5, 0.0), (1.4, 0.1), (40, 30), (80, 0), (0.1, 0.3)):
            await assert_as_stored(board, rows, now - since * DAY, now - until * DAY)

    with_rollup_database(database_url, test)


@pytest.mark.parametrize("largest_bytes", [10**6, 13_000])
def test_new_late_and_deleted_results_are_seen(
    database_url: str, monkeypatch: pytest.MonkeyPatch, largest_bytes: int
) -> None:
    """Also if only a part is cached."""
    monkeypatch.setattr("orchboard.store.raw_results.cache.MAX_RANGE_BYTES", largest_bytes)

    async def test(board: RollupDatabase) -> None:
        rows = RawResultsCache(board.database, board.changes, DatabaseClock())
        for number in range(1, 5):
            await insert(board, await now_of(board), number)
            await insert(board, await now_of(board) - timedelta(hours=number), -number)
            await assert_as_stored(board, rows, await now_of(board) - DAY, await now_of(board))
        await asyncio.sleep(1.1)
        await board.connection.execute("DELETE FROM events WHERE payload -> 'round_trip_time' = '-3'")
        await assert_as_stored(board, rows, await now_of(board) - DAY, await now_of(board))

    with_rollup_database(database_url, test)


def test_all_rows_are_counted_twice_a_second(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchboard.limits.RAW_COUNT_INTERVAL_S", 0.5)

    async def test(board: RollupDatabase) -> None:
        rows, now = RawResultsCache(board.database, board.changes, DatabaseClock()), await now_of(board)
        await assert_as_stored(board, rows, now - DAY, now)
        await insert(board, now - timedelta(hours=1), 1)
        await asyncio.sleep(0.5)
        await assert_as_stored(board, rows, now - DAY, now)
        await insert(board, now - timedelta(hours=1), 2)
        board.changes.mark_late()
        await assert_as_stored(board, rows, now - DAY, now)

    with_rollup_database(database_url, test)


@pytest.mark.parametrize(
    "statement",
    [
        """UPDATE events SET payload = payload || '{"success_rate": 0.125}' WHERE jsonb_typeof(payload) = 'object'""",
        "DELETE FROM events WHERE id % 3 = 0",
        "UPDATE events SET event_time = event_time - interval '40 minutes' WHERE id % 2 = 0",
        "UPDATE regions SET name = 'XYZ' WHERE name = 'FRA'",
        "TRUNCATE events",
    ],
)
def test_a_change_to_cached_rows_is_in_the_next_answer(
    database_url: str, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """Although the number of rows is unchanged."""
    monkeypatch.setattr("orchboard.limits.RAW_COUNT_INTERVAL_S", 1e9)

    async def test(board: RollupDatabase) -> None:
        rows, now = RawResultsCache(board.database, board.changes, DatabaseClock()), await now_of(board)
        for _ in range(2):
            await assert_as_stored(board, rows, now - DAY, now)
        assert rows._ranges
        await board.connection.execute(statement)
        await assert_as_stored(board, rows, now - DAY, now)

    with_rollup_database(database_url, test)


def test_an_orchestrator_with_too_many_results_is_read_in_parts(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.raw_results.cache.MAX_RANGE_BYTES", 1000)

    async def test(board: RollupDatabase) -> None:
        rows, now = RawResultsCache(board.database, board.changes, DatabaseClock()), await now_of(board)
        read = note_what_is_read(board, monkeypatch)
        everything = StatsQuery(job_type=JobType.AI, window=Window(now - DAY, now), orchestrator="0xbb")
        of_one = replace(everything, region="MDW", pipeline="p0", model="m1")
        for query in (everything, of_one, everything):
            await fetch_all(rows, query)
        all_of_them, some, again = read
        assert some < 10
        assert all_of_them == again > 40

    with_rollup_database(database_url, test)


def test_a_refresh_of_a_cached_part_reads_only_new_rows(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.raw_results.cache.MAX_RANGE_BYTES", 13_000)
    monkeypatch.setattr("orchboard.store.raw_results.cache._OVERLAP", 0)
    monkeypatch.setattr("orchboard.store.raw_results.cache._ROUND", 1)

    async def test(board: RollupDatabase) -> None:
        rows, now = RawResultsCache(board.database, board.changes, DatabaseClock()), await now_of(board)
        read = note_what_is_read(board, monkeypatch)
        query = StatsQuery(
            job_type=JobType.TRANSCODING, window=Window(now - DAY, now), orchestrator="0xbb", region="MDW"
        )
        before = await fetch_all(rows, query)
        await insert(board, await now_of(board), 1)
        await insert(board, await now_of(board), 2)
        after = await fetch_all(rows, replace(query, window=Window(now - DAY, await now_of(board))))
        assert len(after) == len(before) + 2 > 10
        # All are counted, then all of the part are read, then the new ones.
        assert read == [len(before), 2]

    with_rollup_database(database_url, test)


def test_rows_before_a_sliding_window_are_dropped_from_a_range_that_is_too_large(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(board: RollupDatabase) -> None:
        rows, now = RawResultsCache(board.database, board.changes, DatabaseClock()), await now_of(board)
        query = StatsQuery(job_type=JobType.AI, window=Window(now - DAY, now), orchestrator="0xbb")
        await fetch_all(rows, query)
        [cached] = rows._ranges.values()
        monkeypatch.setattr("orchboard.store.raw_results.cache.MAX_RANGE_BYTES", cached.size - 1)
        later = Window(now - DAY / 2, now)
        found = await fetch_all(rows, replace(query, window=later))
        assert rows._ranges
        assert 0 < len(found) == len(cached.rows)
        assert cached.since == to_pg_time(later.since)
        await assert_as_stored(board, rows, later.since, later.until)

    with_rollup_database(database_url, test)


def test_a_window_that_is_too_large_does_not_evict_cached_rows(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.raw_results.cache._ROUND", 1)

    async def test(board: RollupDatabase) -> None:
        rows, now = RawResultsCache(board.database, board.changes, DatabaseClock()), await now_of(board)
        of_one = StatsQuery(
            job_type=JobType.TRANSCODING, window=Window(now - DAY / 4, now), orchestrator="0xbb", region="MDW"
        )
        await fetch_all(rows, replace(of_one, region=None))
        monkeypatch.setattr(
            "orchboard.store.raw_results.cache.MAX_RANGE_BYTES", next(iter(rows._ranges.values())).size - 1
        )
        rows = RawResultsCache(board.database, board.changes, DatabaseClock())
        await fetch_all(rows, of_one)  # finds out that all of them are too many
        few = await fetch_all(rows, of_one)
        [(part, cached)] = rows._ranges.items()
        assert (part.region, len(cached.rows)) == ("MDW", len(few))
        monkeypatch.setattr("orchboard.store.raw_results.cache.MAX_RANGE_BYTES", cached.size)
        many = await fetch_all(rows, replace(of_one, window=Window(now - DAY, now)))
        assert len(many) > len(few) > 0
        assert [each.rows for each in rows._ranges.values()] == [cached.rows]
        assert len(cached.rows) == len(few)
        await assert_as_stored(board, rows, now - DAY / 4, now)
        await assert_as_stored(board, rows, now - DAY, now)

    with_rollup_database(database_url, test)


def test_the_number_of_empty_ranges_is_limited(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchboard.limits.RAW_CACHE_BYTES", 20_000)

    async def test(board: RollupDatabase) -> None:
        rows, now = RawResultsCache(board.database, board.changes, DatabaseClock()), await now_of(board)
        query = StatsQuery(job_type=JobType.AI, window=Window(now - DAY, now), orchestrator="")
        for number in range(100):
            await fetch_all(rows, replace(query, orchestrator=f"0x{number:054}"))
        assert 0 < len(rows._ranges) < 20

    with_rollup_database(database_url, test)


def test_results_of_one_microsecond_keep_their_order(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        rows, now = RawResultsCache(board.database, board.changes, DatabaseClock()), await now_of(board)
        for number in range(20):
            await insert(board, now, number)
            await assert_as_stored(board, rows, now - timedelta(minutes=1), now)

    with_rollup_database(database_url, test)


def test_the_cache_is_limited_and_other_queries_are_answered(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.limits.RAW_CACHE_BYTES", 20_000)
    monkeypatch.setattr("orchboard.store.raw_results.cache.MAX_RANGE_BYTES", 15_000)

    async def test(board: RollupDatabase) -> None:
        rows, now = RawResultsCache(board.database, board.changes, DatabaseClock()), await now_of(board)
        for days in (0.01, 1, 1.9):
            for orchestrator in ("0xaa", "0xbb", "0xcc"):
                await assert_as_stored(board, rows, now - days * DAY, now, orchestrator)
                assert sum(cached.size for cached in rows._ranges.values()) <= 20_000

    with_rollup_database(database_url, test)
