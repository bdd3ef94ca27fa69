"""The builder: windows equal the oracle's, whatever was materialized and whoever wrote since."""

import asyncio
import itertools
import random
from datetime import UTC, datetime, timedelta

import asyncpg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchboard.stats import Window
from orchboard.store.connection.types import Connection
from orchboard.store.rollups.buckets import DAY, GRANULARITIES, MINUTE, TEN_MINUTES, buckets_between
from orchboard.store.rollups.builder import MIN_MINUTE_RESULTS, RollupBuilder
from orchboard.store.rollups.statistics import BINS, bins_of
from orchboard.store.sql_files import sql
from tests.support.oracle_queries import PIPELINES, assert_matches_oracle
from tests.support.rollup_database import RollupDatabase, with_materialized, with_rollup_database


@pytest.fixture(autouse=True)
def _every_request_refreshes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write with SQL and query at once."""
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", -1)


def test_random_windows_equal_the_oracle_before_and_after_materialization(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.compare(windows=4)
        assert await board.materialize() > 100
        assert await board.materialize() <= 1, "ten minutes may have ended meanwhile"
        granularities = await board.connection.fetch(
            "SELECT DISTINCT granularity FROM rollup_buckets WHERE is_materialized ORDER BY 1"
        )
        assert [row["granularity"] for row in granularities] == [
            granularity.number for granularity in GRANULARITIES if granularity is not MINUTE
        ]
        await board.compare(windows=40)

    with_rollup_database(database_url, test)


def test_lists_counted_by_bin_give_equal_medians(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchboard.store.rollups.builder.MAX_UNCOUNTED", 3)

    async def test(board: RollupDatabase) -> None:
        await board.materialize()
        assert (
            await board.connection.fetchval(
                "SELECT count(*) FROM rollup_round_trips WHERE bin_counts IS NOT NULL"
            )
            > 20
        )
        await board.compare(windows=25, seed=2)

    with_rollup_database(database_url, test)


def test_pipelines_equal_the_oracle(random_results: str) -> None:
    async def test(board: RollupDatabase) -> None:
        now = await board.connection.fetchval("SELECT now()")
        for days in (0.01, 0.3, 2, 40, 99):
            since = now - timedelta(days=days)
            plain = {tuple(row) for row in await board.connection.fetch(PIPELINES, since, now)}
            pipelines = await board.reader.fetch_pipelines(Window(since, now), None)
            assert {pipeline.id for pipeline in pipelines} == {pipeline for pipeline, _, _ in plain}
            for pipeline in pipelines:
                seen = [(model, region) for named, model, region in plain if named == pipeline.id]
                assert pipeline.models == tuple(sorted({model for model, _ in seen}))
                assert pipeline.regions == tuple(sorted({region for _, region in seen}))

    with_materialized(random_results, test)


def test_a_late_result_counts_at_once_and_after_its_buckets_are_rebuilt(random_results: str) -> None:
    async def test(board: RollupDatabase) -> None:
        for days in (0.2, 1.5, 20, 60):
            late = await board.connection.fetchval("SELECT now()") - timedelta(days=days)
            await board.insert(late)
            await assert_matches_oracle(
                board.connection, board.reader, late - timedelta(days=40), late + timedelta(days=40)
            )
        assert await board.materialize() > 4
        await board.compare()

    with_materialized(random_results, test)


def test_a_late_result_that_is_inserted_during_a_build_is_not_lost(random_results: str) -> None:
    async def test(board: RollupDatabase) -> None:
        late = await board.connection.fetchval("SELECT now()") - timedelta(days=30)
        other = await board.database.connect()
        try:
            async with board.connection.transaction():  # the result is inserted, not yet committed
                await board.insert(late)
                building = asyncio.create_task(RollupBuilder(other).run())
                await asyncio.sleep(0.3)
            await building
        finally:
            other.terminate()
        await board.compare()

    with_materialized(random_results, test)


def test_changes_without_an_invalidation_are_found_by_counting(random_results: str) -> None:
    async def test(board: RollupDatabase) -> None:
        now = await board.connection.fetchval("SELECT now()")
        builder = RollupBuilder(board.connection)
        await board.insert(now - timedelta(days=10))
        assert not await builder.check(now - timedelta(days=99), now, DAY), "an invalidation is pending"
        await board.connection.execute("ALTER TABLE events DISABLE TRIGGER USER")
        await board.insert(now - timedelta(days=20))
        await board.connection.execute(
            "DELETE FROM events WHERE event_time BETWEEN $1 AND $2",
            now - timedelta(days=3),
            now - timedelta(days=2),
        )
        await board.connection.execute("ALTER TABLE events ENABLE ALWAYS TRIGGER note_late_result")
        wrong = {bucket.start for bucket in await builder.check(now - timedelta(days=99), now, DAY)}
        inserted, noted, *deleted = (DAY.start_of(now - timedelta(days=days)) for days in (20, 10, 3, 2))
        assert inserted in wrong and noted not in wrong
        assert wrong - {inserted} and wrong - {inserted} <= set(deleted)
        await board.compare()
        await board.materialize()
        assert not await builder.check(now - timedelta(days=99), now, DAY)
        await board.compare()

    with_materialized(random_results, test)


def test_concurrent_builders_build_each_bucket_once(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        others = [await board.database.connect() for _ in range(4)]
        try:
            numbers = await asyncio.gather(*(RollupBuilder(connection).run() for connection in others))
        finally:
            for connection in others:
                connection.terminate()
        again = await board.materialize()
        assert sum(numbers) + again >= await board.connection.fetchval("SELECT count(*) FROM rollup_buckets")
        assert await board.connection.fetchval("SELECT count(*) = max(revision) FROM rollup_buckets")
        await board.compare()

    with_rollup_database(database_url, test)


def test_a_killed_builder_loses_one_bucket_and_the_next_run_continues(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        for killed_after in (3, 40, 90):
            other = await board.database.connect()
            built = 0

            def count(_: object, other: Connection = other, killed_after: int = killed_after) -> None:
                nonlocal built
                built += 1
                if built == killed_after:
                    other.terminate()

            with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError, OSError)):
                await RollupBuilder(other).run(count)
            await board.compare(windows=2)
        assert await board.materialize() > 0
        await board.compare()

    with_rollup_database(database_url, test)


def test_short_buckets_are_deleted_after_their_retention(random_results: str) -> None:
    async def test(board: RollupDatabase) -> None:
        old = await board.connection.fetchval("SELECT now()") - timedelta(hours=5)
        await board.connection.execute(sql("prune_buckets"), TEN_MINUTES.number, old)
        for table in ("rollup_buckets", "rollup_sums", "rollup_round_trips", "rollup_pipelines"):
            statement = f"SELECT min(bucket_start) FROM {table} WHERE granularity = {TEN_MINUTES.number}"
            assert await board.connection.fetchval(statement) > old - timedelta(minutes=10)
        await board.compare()

    with_materialized(random_results, test)


def test_a_busy_minute_is_materialized(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        now = await board.connection.fetchval("SELECT now()")
        busy = MINUTE.start_of(now - timedelta(minutes=4))
        for number in range(MIN_MINUTE_RESULTS):
            await board.insert(busy + timedelta(milliseconds=number))
        await board.materialize()
        minutes = await board.connection.fetch(
            "SELECT bucket_start FROM rollup_buckets WHERE granularity = 0 ORDER BY 1"
        )
        ten = TEN_MINUTES.start_of(busy)
        assert [row["bucket_start"] for row in minutes] == [
            ten + timedelta(minutes=number) for number in range((busy - ten).seconds // 60 + 1)
        ]
        await board.compare()
        await board.insert(busy)
        await board.compare_last(timedelta(minutes=10))
        await board.materialize()
        await board.compare_last(timedelta(minutes=10))

    with_rollup_database(database_url, test)


def test_a_bucket_is_not_materialized_within_the_grace_period(
    islands: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(board: RollupDatabase) -> None:
        monkeypatch.setattr("orchboard.store.rollups.builder.MIN_MINUTE_RESULTS", 0)
        await board.connection.execute(
            "UPDATE rollup_progress SET materialized_until = materialized_until - interval '5 minutes' WHERE granularity = 0"
        )
        assert await board.materialize() >= 5
        newest = await board.connection.fetchval(
            "SELECT max(bucket_end) FROM rollup_buckets WHERE is_materialized"
        )
        assert newest <= await board.connection.fetchval("SELECT now()") - timedelta(seconds=60)

    with_materialized(islands, test)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.floats(1e-5, 1e5), min_size=1))
def test_bins_are_ordered_as_their_values(round_trips: list[float]) -> None:
    values = np.sort(np.array(round_trips))
    bins = bins_of(values)
    assert (np.diff(bins) >= 0).all()
    assert 0 <= bins.min() <= bins.max() < BINS


def test_sql_and_python_compute_equal_bins(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        chance = random.Random(3)
        edges = [edge * factor for edge in (2**-14, 1.0, 2**14) for factor in (1 - 2**-53, 1, 1 + 2**-52)]
        values = [
            *edges,
            0.0,
            -3.0,
            1e-300,
            1e100,
            -1e100,
            *(10 ** chance.uniform(-6, 6) for _ in range(500)),
        ]
        rows = await board.connection.fetch("SELECT round_trip_bin(v) FROM unnest($1::float8[]) v", values)
        assert [row[0] for row in rows] == bins_of(np.array(values)).tolist()

    with_rollup_database(database_url, test)


@given(
    st.datetimes(
        datetime(1990, 1, 1),  # noqa: DTZ001 - hypothesis wants it so
        datetime(2050, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    st.timedeltas(timedelta(0), timedelta(days=70)),
)
def test_buckets_are_adjacent_and_cover_the_range_within_their_retention(
    since: datetime, length: timedelta
) -> None:
    until = since + length
    buckets = buckets_between(since, until, now=until)
    for granularity in GRANULARITIES:
        found = [bucket for bucket in buckets if bucket.granularity == granularity.number]
        earliest = since
        if granularity.retention is not None:
            earliest = max(earliest, until - granularity.retention)
        assert found[0].start <= earliest
        assert found[-1].start <= until < found[-1].end
        assert all(first.end == second.start for first, second in itertools.pairwise(found))
        assert all(granularity.start_of(bucket.start) == bucket.start for bucket in found)
