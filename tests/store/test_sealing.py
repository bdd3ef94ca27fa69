"""Sealing: long windows say what the plain query says, whatever was summed up, and whoever wrote since."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchboard.stats import Window
from orchboard.store.changes import Changes
from orchboard.store.database import Database
from orchboard.store.means import MeansReader
from orchboard.store.medians import BUCKETS, buckets_of
from orchboard.store.queries import sql
from orchboard.store.regions import RegionDirectory
from orchboard.store.sealing import Sealer, unseal
from orchboard.store.spans import LEVELS, spans_between
from tests.conftest import run
from tests.store.plain import PIPELINES, assert_equal_to_plain

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Results of every sort that anybody may have written, over 75 days until now.
FILL = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT
    now() - interval '75 days' * power(random(), 2),
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


@pytest.fixture(autouse=True)
def _no_reading_serves_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write behind the server's back, and ask at once."""
    monkeypatch.setattr("orchboard.store.recent.SERVES_S", -1)


class Board:
    """A database with results, and a reader of it."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self.database = database
        self.connection = connection
        self.reader = MeansReader(database, RegionDirectory(database, cache_s=60), Changes.alone())

    async def seal(self) -> int:
        return await Sealer(self.connection).run()

    async def compare(self, windows: int = 12, seed: int = 1) -> None:
        """Random windows, from some minutes to everything, against the plain query."""
        chance, now = random.Random(seed), await self.connection.fetchval("SELECT now()")
        groups = await assert_equal_to_plain(self.connection, self.reader, now - timedelta(days=99), now)
        assert groups > 20
        for _ in range(windows):
            days = 10 ** chance.uniform(-2, 1.9)
            until = now - timedelta(days=chance.uniform(0, 76 - days))
            since = until - timedelta(days=days)
            if chance.random() < 0.3:
                since = since.replace(hour=0, minute=0, second=0, microsecond=0)
            await assert_equal_to_plain(self.connection, self.reader, since, until)

    async def insert(self, event_time: datetime, **more: object) -> None:
        await self.connection.execute(
            "INSERT INTO events (event_time, orchestrator, region_id, payload) "
            "SELECT $1, '0xdd', id, jsonb_build_object('success_rate', 1, 'round_trip_time', 3, 'model', 'm', "
            "'pipeline', 'p') FROM regions WHERE name = 'FRA'",
            event_time,
        )


@asynccontextmanager
async def opened(url: str, *, results: int = 4000) -> AsyncIterator[Board]:
    database = Database(url, connections=4, timeout_s=30)
    connection = await database.connect()
    try:
        await connection.execute("SELECT setseed(0.5)")
        await connection.execute(FILL, results)
        yield Board(database, connection)
    finally:
        connection.terminate()
        await database.close()


def on_board(url: str, test: Callable[[Board], Awaitable[None]]) -> None:
    async def run_test() -> None:
        async with opened(url) as board:
            await test(board)

    run(run_test())


def test_random_windows_are_the_plain_query_before_sealing_and_after(database_url: str) -> None:
    async def test(board: Board) -> None:
        await board.compare(windows=4)
        assert await board.seal() > 100
        assert await board.seal() == 0
        levels = await board.connection.fetch("SELECT DISTINCT level FROM spans WHERE is_sealed ORDER BY 1")
        assert [row["level"] for row in levels] == [level.number for level in LEVELS]
        await board.compare(windows=40)

    on_board(database_url, test)


def test_lists_counted_in_buckets_give_the_same_medians(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.sealing.READ_WHOLE", 3)

    async def test(board: Board) -> None:
        await board.seal()
        assert (
            await board.connection.fetchval("SELECT count(*) FROM round_trips WHERE buckets IS NOT NULL")
            > 100
        )
        await board.compare(windows=25, seed=2)

    on_board(database_url, test)


def test_pipelines_are_those_of_the_plain_query(database_url: str) -> None:
    async def test(board: Board) -> None:
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

    on_board(database_url, test)


def test_a_late_result_counts_at_once_and_after_its_spans_are_summed_up_again(database_url: str) -> None:
    async def test(board: Board) -> None:
        await board.seal()
        for days in (0.2, 1.5, 20, 60):
            late = await board.connection.fetchval("SELECT now()") - timedelta(days=days)
            async with board.connection.transaction():
                await board.insert(late)
                await unseal(board.connection, late, late)
            await assert_equal_to_plain(
                board.connection, board.reader, late - timedelta(days=40), late + timedelta(days=40)
            )
        assert await board.seal() > 4
        await board.compare()

    on_board(database_url, test)


def test_a_late_result_that_arrives_while_its_span_is_summed_up_is_not_forgotten(database_url: str) -> None:
    async def test(board: Board) -> None:
        await board.seal()
        late = await board.connection.fetchval("SELECT now()") - timedelta(days=30)
        other = await board.database.connect()
        try:
            async with board.connection.transaction():  # has stored its result, not yet committed
                await board.insert(late)
                await unseal(board.connection, late, late)
                sealing = asyncio.create_task(Sealer(other).run())
                await asyncio.sleep(0.3)
            await sealing
        finally:
            other.terminate()
        await board.compare()

    on_board(database_url, test)


def test_what_others_write_and_remove_unseen_is_found_by_counting(database_url: str) -> None:
    async def test(board: Board) -> None:
        await board.seal()
        now = await board.connection.fetchval("SELECT now()")
        await board.insert(now - timedelta(days=20))
        await board.connection.execute(
            "DELETE FROM events WHERE event_time BETWEEN $1 AND $2",
            now - timedelta(days=3),
            now - timedelta(days=2),
        )
        sealer = Sealer(board.connection)
        assert await sealer.check(now - timedelta(days=99), now, LEVELS[3])
        await board.compare()
        await board.seal()
        assert not await sealer.check(now - timedelta(days=99), now, LEVELS[3])
        await board.compare()

    on_board(database_url, test)


def test_several_at_once_sum_up_each_span_once(database_url: str) -> None:
    async def test(board: Board) -> None:
        others = [await board.database.connect() for _ in range(4)]
        try:
            numbers = await asyncio.gather(*(Sealer(connection).run() for connection in others))
        finally:
            for connection in others:
                connection.terminate()
        again = await board.seal()
        assert sum(numbers) + again == await board.connection.fetchval("SELECT count(*) FROM spans")
        await board.compare()

    on_board(database_url, test)


def test_killed_in_the_midst_it_loses_one_span_and_goes_on(database_url: str) -> None:
    async def test(board: Board) -> None:
        for killed_after in (3, 40, 90):
            other = await board.database.connect()
            sealed = 0

            def count(_: object, other: Connection = other, killed_after: int = killed_after) -> None:
                nonlocal sealed
                sealed += 1
                if sealed == killed_after:
                    other.terminate()

            with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError, OSError)):
                await Sealer(other).run(count)
            await board.compare(windows=2)
        assert await board.seal() > 0
        await board.compare()

    on_board(database_url, test)


def test_short_spans_are_forgotten_when_they_are_old(database_url: str) -> None:
    async def test(board: Board) -> None:
        await board.seal()
        old = await board.connection.fetchval("SELECT now()") - timedelta(hours=5)
        await board.connection.execute(sql("prune_spans"), 0, old)
        for table in ("spans", "segments", "round_trips", "pipelines_seen"):
            statement = f"SELECT min(span_start) FROM {table} WHERE level = 0"
            assert await board.connection.fetchval(statement) > old - timedelta(minutes=10)
        await board.compare()

    on_board(database_url, test)


def test_a_span_is_left_open_for_a_while_after_its_end(database_url: str) -> None:
    async def test(board: Board) -> None:
        await board.seal()
        newest = await board.connection.fetchval("SELECT max(span_end) FROM spans WHERE is_sealed")
        assert newest <= await board.connection.fetchval("SELECT now()") - timedelta(seconds=60)

    on_board(database_url, test)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.floats(1e-5, 1e5), min_size=1))
def test_buckets_are_in_the_order_of_what_is_in_them(round_trips: list[float]) -> None:
    values = np.sort(np.array(round_trips))
    buckets = buckets_of(values)
    assert (np.diff(buckets) >= 0).all()
    assert 0 <= buckets.min() <= buckets.max() < BUCKETS


def test_sql_and_python_put_a_round_trip_into_the_same_bucket(database_url: str) -> None:
    async def test(board: Board) -> None:
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

    on_board(database_url, test)


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
    spans = spans_between(since, until, now=until)
    for level in LEVELS:
        of_level = [span for span in spans if span.level == level.number]
        kept_since = since if level.kept is None else max(since, until - level.kept)
        assert of_level[0].start <= kept_since
        assert of_level[-1].start <= until < of_level[-1].end
        assert all(first.end == second.start for first, second in itertools.pairwise(of_level))
        assert all(level.start_of(span.start) == span.start for span in of_level)
