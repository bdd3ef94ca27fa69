"""Sealing: long windows say what the plain query says, whatever was summed up, and whoever wrote since."""

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
from orchboard.store.rollups.builder import MINUTE_WORTH, RollupBuilder
from orchboard.store.rollups.exact_median import BUCKETS, buckets_of
from orchboard.store.sql_files import sql
from tests.support.oracle_queries import PIPELINES, assert_matches_oracle
from tests.support.rollup_database import RollupDatabase, with_rollup_database


@pytest.fixture(autouse=True)
def _no_reading_serves_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write behind the server's back, and ask at once."""
    monkeypatch.setattr("orchboard.store.rollups.live_tail.SHARED_READ_S", -1)


def test_random_windows_are_the_plain_query_before_sealing_and_after(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.compare(windows=4)
        assert await board.seal() > 100
        assert await board.seal() == 0
        levels = await board.connection.fetch("SELECT DISTINCT level FROM spans WHERE is_sealed ORDER BY 1")
        assert [row["level"] for row in levels] == [
            level.number for level in GRANULARITIES if level is not MINUTE
        ]
        await board.compare(windows=40)

    with_rollup_database(database_url, test)


def test_lists_counted_in_buckets_give_the_same_medians(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.rollups.builder.READ_WHOLE", 3)

    async def test(board: RollupDatabase) -> None:
        await board.seal()
        assert (
            await board.connection.fetchval("SELECT count(*) FROM round_trips WHERE buckets IS NOT NULL") > 20
        )
        await board.compare(windows=25, seed=2)

    with_rollup_database(database_url, test)


def test_pipelines_are_those_of_the_plain_query(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.seal()
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

    with_rollup_database(database_url, test)


def test_a_late_result_counts_at_once_and_after_its_spans_are_summed_up_again(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.seal()
        for days in (0.2, 1.5, 20, 60):
            late = await board.connection.fetchval("SELECT now()") - timedelta(days=days)
            await board.insert(late)
            await assert_matches_oracle(
                board.connection, board.reader, late - timedelta(days=40), late + timedelta(days=40)
            )
        assert await board.seal() > 4
        await board.compare()

    with_rollup_database(database_url, test)


def test_a_late_result_that_arrives_while_its_span_is_summed_up_is_not_forgotten(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.seal()
        late = await board.connection.fetchval("SELECT now()") - timedelta(days=30)
        other = await board.database.connect()
        try:
            async with board.connection.transaction():  # has stored its result, not yet committed
                await board.insert(late)
                sealing = asyncio.create_task(RollupBuilder(other).run())
                await asyncio.sleep(0.3)
            await sealing
        finally:
            other.terminate()
        await board.compare()

    with_rollup_database(database_url, test)


def test_what_others_write_and_remove_unseen_is_found_by_counting(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.seal()
        now = await board.connection.fetchval("SELECT now()")
        await board.insert(now - timedelta(days=20))
        await board.connection.execute(
            "DELETE FROM events WHERE event_time BETWEEN $1 AND $2",
            now - timedelta(days=3),
            now - timedelta(days=2),
        )
        sealer = RollupBuilder(board.connection)
        assert await sealer.check(now - timedelta(days=99), now, DAY)
        await board.compare()
        await board.seal()
        assert not await sealer.check(now - timedelta(days=99), now, DAY)
        await board.compare()

    with_rollup_database(database_url, test)


def test_several_at_once_sum_up_each_span_once(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        others = [await board.database.connect() for _ in range(4)]
        try:
            numbers = await asyncio.gather(*(RollupBuilder(connection).run() for connection in others))
        finally:
            for connection in others:
                connection.terminate()
        again = await board.seal()
        assert sum(numbers) + again >= await board.connection.fetchval("SELECT count(*) FROM spans")
        assert await board.connection.fetchval("SELECT count(*) = max(revision) FROM spans")
        await board.compare()

    with_rollup_database(database_url, test)


def test_killed_in_the_midst_it_loses_one_span_and_goes_on(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        for killed_after in (3, 40, 90):
            other = await board.database.connect()
            sealed = 0

            def count(_: object, other: Connection = other, killed_after: int = killed_after) -> None:
                nonlocal sealed
                sealed += 1
                if sealed == killed_after:
                    other.terminate()

            with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError, OSError)):
                await RollupBuilder(other).run(count)
            await board.compare(windows=2)
        assert await board.seal() > 0
        await board.compare()

    with_rollup_database(database_url, test)


def test_short_spans_are_forgotten_when_they_are_old(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.seal()
        old = await board.connection.fetchval("SELECT now()") - timedelta(hours=5)
        await board.connection.execute(sql("prune_spans"), TEN_MINUTES.number, old)
        for table in ("spans", "segments", "round_trips", "pipelines_seen"):
            statement = f"SELECT min(span_start) FROM {table} WHERE level = {TEN_MINUTES.number}"
            assert await board.connection.fetchval(statement) > old - timedelta(minutes=10)
        await board.compare()

    with_rollup_database(database_url, test)


def test_a_busy_minute_is_summed_up_by_itself(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        now = await board.connection.fetchval("SELECT now()")
        busy = MINUTE.start_of(now - timedelta(minutes=4))
        for number in range(MINUTE_WORTH):
            await board.insert(busy + timedelta(milliseconds=number))
        await board.seal()
        minutes = await board.connection.fetch("SELECT span_start FROM spans WHERE level = 0 ORDER BY 1")
        ten = TEN_MINUTES.start_of(busy)
        assert [row["span_start"] for row in minutes] == [
            ten + timedelta(minutes=number) for number in range((busy - ten).seconds // 60 + 1)
        ]
        await board.compare()
        await board.insert(busy)
        await board.compare_last(timedelta(minutes=10))
        await board.seal()
        await board.compare_last(timedelta(minutes=10))

    with_rollup_database(database_url, test)


def test_a_span_is_left_open_for_a_while_after_its_end(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.seal()
        newest = await board.connection.fetchval("SELECT max(span_end) FROM spans WHERE is_sealed")
        assert newest <= await board.connection.fetchval("SELECT now()") - timedelta(seconds=60)

    with_rollup_database(database_url, test)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.floats(1e-5, 1e5), min_size=1))
def test_buckets_are_in_the_order_of_what_is_in_them(round_trips: list[float]) -> None:
    values = np.sort(np.array(round_trips))
    buckets = buckets_of(values)
    assert (np.diff(buckets) >= 0).all()
    assert 0 <= buckets.min() <= buckets.max() < BUCKETS


def test_sql_and_python_put_a_round_trip_into_the_same_bucket(database_url: str) -> None:
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
        rows = await board.connection.fetch("SELECT round_trip_bucket(v) FROM unnest($1::float8[]) v", values)
        assert [row[0] for row in rows] == buckets_of(np.array(values)).tolist()

    with_rollup_database(database_url, test)


@given(
    st.datetimes(
        datetime(1990, 1, 1),  # noqa: DTZ001 - hypothesis wants it so
        datetime(2050, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    st.timedeltas(timedelta(0), timedelta(days=70)),
)
def test_spans_follow_each_other_and_hold_what_they_should(since: datetime, length: timedelta) -> None:
    until = since + length
    spans = buckets_between(since, until, now=until)
    for level in GRANULARITIES:
        of_level = [span for span in spans if span.level == level.number]
        kept_since = since if level.retention is None else max(since, until - level.retention)
        assert of_level[0].start <= kept_since
        assert of_level[-1].start <= until < of_level[-1].end
        assert all(first.end == second.start for first, second in itertools.pairwise(of_level))
        assert all(level.start_of(span.start) == span.start for span in of_level)
