"""After any committed change by anybody, every answer is that of the plain query: at once, and after rollups are rebuilt."""

import asyncio
import os
from datetime import timedelta

import pytest

from orchboard.stats import JobType, StatsQuery, Window
from orchboard.store.rollups.buckets import GRANULARITIES
from orchboard.store.rollups.builder import RollupBuilder
from tests.support.oracle_queries import assert_matches_oracle
from tests.support.rollup_database import (
    RollupDatabase,
    open_rollup_database,
    with_islands,
    with_materialized,
    with_rollup_database,
)

EVERYTHING = timedelta(days=99)
CHANGES = [
    pytest.param("DELETE FROM events WHERE event_time < now() - interval '20 days'", id="delete old results"),
    pytest.param("DELETE FROM events WHERE event_time > now() - interval '2 days'", id="delete new results"),
    pytest.param("DELETE FROM events WHERE id % 3 = 0", id="delete here and there"),
    pytest.param("DELETE FROM events", id="delete all"),
    pytest.param("TRUNCATE events", id="truncate"),
    pytest.param(
        """UPDATE events SET payload = payload || '{"success_rate": 0.25, "round_trip_time": 7}'
           WHERE id % 7 = 0 AND jsonb_typeof(payload) = 'object'""",
        id="update payloads",
    ),
    pytest.param("UPDATE events SET orchestrator = '0xee' WHERE id % 5 = 0", id="rename an orchestrator"),
    pytest.param(
        "UPDATE events SET event_time = event_time - interval '30 hours' WHERE id % 11 = 0", id="move in time"
    ),
    pytest.param(
        """INSERT INTO events (event_time, orchestrator, region_id, payload)
           SELECT event_time - interval '90 minutes', '0xff', region_id, payload FROM events""",
        id="insert into the past",
    ),
    pytest.param(
        """INSERT INTO events (event_time, orchestrator, region_id, payload)
           SELECT now() - n * interval '17 minutes', '0xff', (SELECT min(id) FROM regions), '{"success_rate": 1}'
           FROM generate_series(1, 90) n""",
        id="insert into today",
    ),
    pytest.param("UPDATE regions SET name = 'XYZ' WHERE name = 'FRA'", id="rename a region"),
    pytest.param(
        """UPDATE regions SET name = CASE name WHEN 'FRA' THEN 'MDW' ELSE 'FRA' END || '2' WHERE name IN ('FRA', 'MDW');
           UPDATE regions SET name = left(name, 3) WHERE name IN ('FRA2', 'MDW2')""",
        id="swap two regions",
    ),
    pytest.param(
        """UPDATE regions SET job_type_id = (SELECT id FROM job_types WHERE name = 'ai'), name = 'WAS'
           WHERE name = 'FRA' AND job_type_id = (SELECT id FROM job_types WHERE name = 'transcoding')""",
        id="give a region another job type",
    ),
]


@pytest.fixture(autouse=True)
def _no_reading_serves_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write behind the server's back, and ask at once."""
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", -1)


async def compare_all(board: RollupDatabase) -> None:
    now = await board.connection.fetchval("SELECT clock_timestamp()")
    for length in (timedelta(minutes=30), timedelta(hours=7), timedelta(days=3), EVERYTHING):
        await assert_matches_oracle(board.connection, board.reader, now - length, now)
    await assert_matches_oracle(
        board.connection, board.reader, now - timedelta(days=41), now - timedelta(days=3)
    )


@pytest.mark.parametrize("statement", CHANGES)
def test_a_change_by_plain_sql_is_in_every_answer_at_once_and_after_a_rebuild(
    islands: str, statement: str
) -> None:
    async def test(board: RollupDatabase) -> None:
        await compare_all(board)
        await board.connection.execute(statement)
        await compare_all(board)
        await board.materialize()
        pending = "SELECT count(*) FROM rollup_invalidations WHERE NOT is_applied"
        invalid = "SELECT count(*) FROM rollup_buckets WHERE NOT is_materialized AND bucket_end < now() - interval '2 minutes'"
        assert await board.connection.fetchval(pending) == 0
        assert await board.connection.fetchval(invalid) == 0
        await compare_all(board)
        async with open_rollup_database(islands, results=0) as another:  # a server that has just started
            await compare_all(another)

    with_materialized(islands, test)


def test_days_that_are_left_without_results_are_counted_again(random_results: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.connection.execute(
            "DELETE FROM events WHERE event_time BETWEEN now() - interval '30 days' AND now() - interval '3 days'"
        )
        await board.materialize()
        counted = "SELECT sum(results) FROM rollup_buckets WHERE granularity = $1 AND bucket_end < now() - interval '3 days'"
        left = "SELECT count(*) FROM events WHERE event_time < now() - interval '30 days'"
        for granularity in GRANULARITIES[3:5]:
            assert await board.connection.fetchval(
                counted, granularity.number
            ) == await board.connection.fetchval(left)

    with_materialized(random_results, test)


def test_every_granularity_of_today_is_rebuilt_after_an_insert_into_it(random_results: str) -> None:
    async def test(board: RollupDatabase) -> None:
        revisions = "SELECT granularity, revision FROM rollup_buckets WHERE is_materialized AND bucket_start <= $1 AND bucket_end > $1"
        late = await board.connection.fetchval("SELECT now() - interval '7 hours'")
        before = {row[0]: row[1] for row in await board.connection.fetch(revisions, late)}
        await board.insert(late)
        await board.materialize()
        after = {row[0]: row[1] for row in await board.connection.fetch(revisions, late)}
        assert before.keys() == after.keys() and len(before) >= 3
        assert all(after[granularity] > revision for granularity, revision in before.items())
        await compare_all(board)

    with_materialized(random_results, test)


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
def test_a_transaction_that_is_open_during_a_build_is_not_missed(database_url: str, isolation: str) -> None:
    """Its result was inserted on time, so no trigger added an invalidation."""

    async def test(board: RollupDatabase) -> None:
        slow = await board.database.connect()
        try:
            transaction = slow.transaction(isolation=isolation)  # type: ignore[arg-type]
            await transaction.start()
            moment = await slow.fetchval("SELECT now() - interval '0.9 seconds'")
            await RollupDatabase(board.database, slow).insert(moment)
            await asyncio.sleep(1.2)
            builder = RollupBuilder(board.connection, grace=timedelta(0))
            await builder.run()
            assert builder.is_blocked
            around = "SELECT count(*) FROM rollup_buckets WHERE is_materialized AND bucket_start <= $1 AND bucket_end > $1"
            assert await board.connection.fetchval(around, moment) == 0
            await transaction.commit()
            await compare_all(board)
            await builder.run()
            assert not builder.is_blocked
            await compare_all(board)
        finally:
            slow.terminate()

    with_islands(database_url, test)


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
def test_a_late_insert_by_an_older_transaction_adds_an_invalidation(
    database_url: str, isolation: str
) -> None:
    """Also when its snapshot is older than the watermark."""

    async def test(board: RollupDatabase) -> None:
        slow = await board.database.connect()
        try:
            transaction = slow.transaction(isolation=isolation)  # type: ignore[arg-type]
            await transaction.start()
            moment = await slow.fetchval("SELECT now() - interval '3 days'")
            await board.materialize()
            await RollupDatabase(board.database, slow).insert(moment)
            await board.materialize()
            await transaction.commit()
            await compare_all(board)
            await board.materialize()
            await compare_all(board)
        finally:
            slow.terminate()

    with_islands(database_url, test)


def test_a_transaction_that_is_rolled_back_invalidates_nothing(random_results: str) -> None:
    async def test(board: RollupDatabase) -> None:
        buckets = "SELECT granularity, bucket_start, revision FROM rollup_buckets WHERE is_materialized"
        before = await board.connection.fetch(buckets)
        transaction = board.connection.transaction()
        await transaction.start()
        await board.connection.execute("DELETE FROM events WHERE id % 2 = 0")
        await transaction.rollback()
        assert (
            await board.connection.fetchval("SELECT count(*) FROM rollup_invalidations WHERE NOT is_applied")
            == 0
        )
        await board.materialize()
        assert set(before) <= set(await board.connection.fetch(buckets))
        await compare_all(board)

    with_materialized(random_results, test)


@pytest.mark.parametrize("step", [timedelta(minutes=-90), timedelta(minutes=90)], ids=["back", "ahead"])
def test_results_stored_by_a_clock_that_was_stepped_are_in_every_answer(
    random_results: str, step: timedelta
) -> None:
    """As if the database's clock had been stepped: results with its receipt times land behind the watermark, or ahead."""

    async def test(board: RollupDatabase) -> None:
        await compare_all(board)
        for _ in range(5):
            await board.insert(await board.connection.fetchval("SELECT clock_timestamp()") + step)
            now = await board.connection.fetchval("SELECT clock_timestamp()")
            await assert_matches_oracle(board.connection, board.reader, now - EVERYTHING, now + EVERYTHING)
        await board.materialize()
        await assert_matches_oracle(board.connection, board.reader, now - EVERYTHING, now + EVERYTHING)

    with_materialized(random_results, test)


def test_rollups_that_reach_ahead_of_the_clock_are_corrected_by_what_comes(database_url: str) -> None:
    """The clock was ahead by a day, rollups were built up to there, and it was set right."""

    async def test(board: RollupDatabase) -> None:
        await RollupBuilder(board.connection, grace=timedelta(days=-1)).run()
        for _ in range(5):
            await board.insert(await board.connection.fetchval("SELECT clock_timestamp()"))
            await compare_all(board)
            await board.materialize()
            await compare_all(board)

    with_islands(database_url, test)


def test_a_region_that_is_renamed_is_found_by_its_new_name_only(random_results: str) -> None:
    async def test(board: RollupDatabase) -> None:
        now = await board.connection.fetchval("SELECT now()")
        query = StatsQuery(job_type=JobType.AI, window=Window(now - EVERYTHING, now), region="XYZ")
        assert len((await board.reader.fetch_means(query)).results) == 0
        await board.connection.execute("UPDATE regions SET name = 'XYZ' WHERE name = 'FRA'")
        means = await board.reader.fetch_means(query)
        assert {region for _, region in means.pairs} == {"XYZ"}
        assert any(
            "XYZ" in pipeline.regions for pipeline in await board.reader.fetch_pipelines(query.window, None)
        )

    with_materialized(random_results, test)


def test_changes_by_a_role_without_privileges_on_our_tables_add_invalidations(
    random_results: str, server_url: str
) -> None:
    """As the reference server's role, or an operator's: it has no privileges on rollup_invalidations."""

    async def test(board: RollupDatabase) -> None:
        role = f"limited_{os.getpid()}"
        await board.connection.execute(f"CREATE ROLE {role}")
        try:
            await board.connection.execute(
                f"GRANT SELECT, INSERT, DELETE, UPDATE ON events TO {role}; "
                f"GRANT USAGE ON SEQUENCE events_id_seq TO {role}; GRANT SELECT ON regions TO {role}"
            )
            await board.connection.execute(f"SET ROLE {role}")
            await board.insert(await board.connection.fetchval("SELECT now() - interval '3 days'"))
            await board.connection.execute("UPDATE events SET orchestrator = '0xee' WHERE id % 9 = 0")
            await board.connection.execute("DELETE FROM events WHERE id % 7 = 0")
            await board.connection.execute("RESET ROLE")
            await compare_all(board)
        finally:
            await board.connection.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")

    with_materialized(random_results, test)


def test_invalidations_are_added_after_the_schema_is_renamed(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.connection.execute("ALTER SCHEMA public RENAME TO board")
        await board.connection.execute("SET search_path = pg_catalog")
        await board.connection.execute("DELETE FROM board.events WHERE id % 2 = 0")
        await board.connection.execute("TRUNCATE board.events")
        await board.connection.execute(
            "INSERT INTO board.events (event_time, orchestrator, payload) VALUES ('2026-01-01', '0xaa', '{}')"
        )
        invalidations = await board.connection.fetchval(
            "SELECT count(*) FROM board.rollup_invalidations WHERE until > '2025-01-01'"
        )
        assert invalidations > 3

    with_rollup_database(database_url, test, results=50)


def test_a_bulk_load_adds_one_invalidation_for_each_minute_and_transaction(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        invalidations = "SELECT count(*) FROM rollup_invalidations"
        before = await board.connection.fetchval(invalidations)
        await board.connection.execute(
            "INSERT INTO events (event_time, orchestrator, payload) "
            "SELECT timestamptz '2026-03-03 10:00+00' + n * interval '0.1 seconds', '0xaa', '{}' "
            "FROM generate_series(0, 5999) n"
        )
        assert await board.connection.fetchval(invalidations) - before == 10
        try:
            async with board.connection.transaction():
                await board.insert(
                    await board.connection.fetchval("SELECT timestamptz '2026-03-03 12:00+00'")
                )
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        await board.insert(await board.connection.fetchval("SELECT timestamptz '2026-03-03 12:00+00'"))
        assert await board.connection.fetchval(invalidations) - before == 11

    with_rollup_database(database_url, test, results=0)


def test_a_reader_that_was_idle_for_longer_than_invalidations_are_stored_sees_changes(
    random_results: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(board: RollupDatabase) -> None:
        await compare_all(board)
        await board.connection.execute(
            "UPDATE regions SET name = 'XYZ' WHERE name = 'FRA'; UPDATE events SET orchestrator = '0xee' WHERE id % 5 = 0"
        )
        await board.materialize()
        await board.connection.execute("DELETE FROM rollup_invalidations")
        refreshed_at = board.reader._memory.tail._refreshed_at
        monkeypatch.setattr(board.reader._memory.tail, "_refreshed_at", refreshed_at - 301)
        await compare_all(board)

    with_materialized(random_results, test)
