"""After results were deleted, every answer from rollups is what it was, whatever happens to the database then."""

import asyncio
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from orchboard.errors import BadInputError, SetupError
from orchboard.stats import SeriesQuery
from orchboard.store.connection.types import Connection
from orchboard.store.maintenance import MaintenanceLoop
from orchboard.store.postgres.database import Database
from orchboard.store.retention.policy import RetentionPolicy
from orchboard.store.retention.pruner import Pruner
from orchboard.store.rollups.buckets import DAY, SIX_HOURS
from orchboard.store.rollups.builder import RollupBuilder
from tests.support.database import run
from tests.support.details_database import open_details_database
from tests.support.prepared_databases import prepared_database
from tests.support.pruned_database import prepare_pruned, pruned

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def _no_reading_serves_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write behind the server's back, and ask at once."""
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", -1)


@pytest.fixture
def pruned_url(server_url: str) -> Iterator[str]:
    """The URL of a clone of what `prepare_pruned` has prepared."""
    yield from prepared_database(server_url, prepare_pruned)


def test_answers_from_rollups_are_what_they_were(pruned_url: str) -> None:
    async def test() -> None:
        async with pruned(pruned_url) as database:
            await database.compare()

    run(test())


def test_results_are_deleted_again_later(pruned_url: str) -> None:
    """Every day, under RETENTION_DAYS."""

    async def test() -> None:
        async with pruned(pruned_url) as database:
            pruner = Pruner(database.board.connection, pause_s=0)
            for days in (18, 15):
                before = (await pruner.find(await database.board.now() - timedelta(days=days))).before
                async with asyncio.timeout(30):
                    await pruner.verify(before)
                await pruner.finalize(before)
                deleted = [number async for number in pruner.delete(before)]
                assert sum(deleted) > 0
            await database.compare()

    run(test())


def test_a_batch_reads_no_index_entries_of_earlier_batches(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even while an open transaction keeps vacuum and index scans from discarding them."""
    monkeypatch.setattr("orchboard.store.retention.pruner._BATCH", 50)

    async def test() -> None:
        connection, holder = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
        await connection.execute(
            "INSERT INTO events (event_time, orchestrator, region_id, payload) SELECT '2024-01-01 00:00Z'::timestamptz + n * "
            "interval '1 second', '0x1', 1, '{}'::jsonb FROM generate_series(1, 1000) n UNION ALL SELECT '-infinity', '0x1', 1, '{}'::jsonb"
        )
        await connection.execute("INSERT INTO result_retention (kept_since) VALUES ('2025-01-01 00:00Z')")
        await connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        async with holder.transaction(isolation="repeatable_read"):
            await holder.fetchval("SELECT count(*) FROM events")
            reads = [await index_reads(connection)]
            async for _ in Pruner(connection).delete(datetime(2026, 1, 1, tzinfo=UTC)):
                reads.append(await index_reads(connection))
        assert len(reads) == 22
        assert max(after - before for before, after in itertools.pairwise(reads)) <= 2 * 50 + 3
        assert not await connection.fetchval("SELECT count(*) FROM events")
        await connection.close()
        await holder.close()

    run(test())


def test_results_that_are_stored_while_others_are_archived_are_not_deleted(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as those of a spool, which have old receipt times."""
    monkeypatch.setattr("orchboard.store.retention.pruner._BATCH", 3)
    store = (
        "INSERT INTO events (event_time, orchestrator, region_id, payload) "
        "SELECT '2024-01-01 00:00Z'::timestamptz + n * interval '1 hour', $1, 1, '{}'::jsonb FROM generate_series(1, 10) n"
    )

    async def test() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("INSERT INTO result_retention (kept_since) VALUES ('2025-01-01 00:00Z')")
        await connection.execute(store, "0x1")
        pruner, before = Pruner(connection), datetime(2025, 1, 1, tzinfo=UTC)
        found = await pruner.find(before)
        await connection.execute(store, "0x2")
        assert sum([number async for number in pruner.delete(before, last_id=found.last_id)]) == 10
        left = await connection.fetch("SELECT orchestrator FROM events")
        assert {row["orchestrator"] for row in left} == {"0x2"} and len(left) == 10
        assert sum([number async for number in pruner.delete(before)]) == 10
        await connection.close()

    run(test())


async def index_reads(connection: Connection) -> int:
    """The number of entries that scans have read from the index of receipt times."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    return int(
        await connection.fetchval("SELECT pg_stat_get_tuples_returned('idx_events_event_time'::regclass)")
    )


CHANGES = {
    "every rollup is invalidated by a changed job type": "UPDATE regions SET job_type_id = job_type_id WHERE name = 'FRA'",
    "an older release counts results": "UPDATE rollup_buckets SET is_materialized = FALSE, revision = DEFAULT WHERE granularity >= 3",
    "an older release invalidates": "UPDATE spans SET is_sealed = FALSE, revision = nextval('rollup_revisions') WHERE span_end < now() - interval '21 days'",
    "a record of a deletion": "INSERT INTO rollup_invalidations (since, until) VALUES ('2000-01-01', now())",
    "nothing": "SELECT 1",
}


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES.keys())
def test_what_invalidates_rollups_does_not_reach_final_ones(pruned_url: str, statement: str) -> None:
    async def test() -> None:
        async with pruned(pruned_url) as database:
            await database.board.connection.execute(statement)
            await database.compare()  # before the invalidation is applied
            await database.board.materialize()
            await database.compare()
            maintained = Database(pruned_url, connections=2, timeout_s=30)
            loop = MaintenanceLoop(maintained)
            for _ in range(2):
                loop._checked_at = 0.0
                await loop.run_once(60)
            while (await RollupBuilder(database.board.connection).run()) > 0:
                pass
            await maintained.close()
            await database.compare()

    run(test())


def test_a_late_result_in_the_month_that_is_kept_in_part_is_counted_there(pruned_url: str) -> None:
    async def test() -> None:
        async with pruned(pruned_url) as database:
            late = database.before + timedelta(hours=5)
            await database.board.insert([late])
            await database.board.materialize()
            count = "SELECT sum(results) FROM rollup_buckets WHERE granularity = $1"
            days, months = [await database.board.connection.fetchval(count, number) for number in (4, 5)]
            assert days == months or months is None or months <= days
            query, edges = (
                SeriesQuery(),
                [DAY.start_of(late - timedelta(days=60)), DAY.end_of(DAY.start_of(late))],
            )
            [details] = await database.board.store.details.fetch_buckets(query, edges)
            before = [
                each
                for each in database.results
                if each.event_time < edges[1] and edges[0] <= each.event_time
            ]
            assert int(details.sums.results.sum() + details.sums.unscored.sum()) >= len(before)

    run(test())


def test_windows_that_cut_a_final_rollup_are_rounded_down(pruned_url: str) -> None:
    async def test() -> None:
        async with pruned(pruned_url) as database:
            since = database.before - timedelta(days=3) + timedelta(hours=7, minutes=13)
            until = database.before - timedelta(days=1) + timedelta(hours=20, minutes=1)
            details, rounded = [
                (await database.board.store.details.fetch_buckets(SeriesQuery(), edges))[0]
                for edges in ([since, until], [SIX_HOURS.start_of(since), SIX_HOURS.start_of(until)])
            ]
            assert details.sums.results.tolist() == rounded.sums.results.tolist()
            assert (details.since, details.until) == (rounded.since, rounded.until)

    run(test())


def test_a_server_deletes_what_is_older_than_its_policy(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.retention.pruner._PAUSE_S", 0.0)

    async def test() -> None:
        async with open_details_database(database_url, results=200, is_spread=True) as board:
            database = Database(database_url, connections=2, timeout_s=30)
            policy = RetentionPolicy(timedelta(days=20), timedelta(days=30))
            assert (await MaintenanceLoop(database, policy).run_once(100)).is_done
            await database.close()
            since = DAY.start_of(await board.now() - timedelta(days=20))
            oldest = "SELECT min(event_time) >= $1 AND count(*) > 50 FROM events"
            assert await board.connection.fetchval(oldest, since)
            shortest = "SELECT min(bucket_start) FROM rollup_buckets WHERE granularity = $1"
            six_hours, days = [await board.connection.fetchval(shortest, number) for number in (3, 4)]
            assert days < six_hours == DAY.start_of(await board.now() - timedelta(days=30))

    run(test())


def test_a_server_does_not_delete_what_a_command_is_still_archiving(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command makes results final before it archives them; the server's own policy keeps them for longer."""
    monkeypatch.setattr("orchboard.store.retention.pruner._PAUSE_S", 0.0)

    async def test() -> None:
        async with open_details_database(database_url, results=200, is_spread=True) as board:
            command = Pruner(board.connection)
            before = (await command.find(await board.now() - timedelta(days=15))).before
            await command.verify(before)
            await command.finalize(before)
            database = Database(database_url, connections=2, timeout_s=30)
            policy = RetentionPolicy(timedelta(days=25))
            assert (await MaintenanceLoop(database, policy).run_once(100)).is_done
            await database.close()
            since = DAY.start_of(await board.now() - timedelta(days=25))
            oldest = await board.connection.fetchval("SELECT min(event_time) FROM events")
            assert since <= oldest < before

    run(test())


def test_nothing_is_deleted_of_the_last_days(database_url: str) -> None:
    async def test() -> None:
        async with open_details_database(database_url, results=50) as board:
            pruner = Pruner(board.connection, pause_s=0)
            with pytest.raises(BadInputError, match="results of the last 8 days are always kept"):
                await pruner.find(await board.now() - timedelta(days=7))

    run(test())


def test_nothing_is_deleted_while_a_database_is_taken_over(database_url: str) -> None:
    async def test() -> None:
        async with open_details_database(database_url, results=5) as board:
            await board.connection.execute("CREATE TABLE events_before (id integer)")
            with pytest.raises(
                SetupError, match="results are being moved from the table of the reference server"
            ):
                await Pruner(board.connection).find(await board.now() - timedelta(days=30))

    run(test())


def test_rollups_that_were_wrong_are_rebuilt_and_nothing_is_deleted(database_url: str) -> None:
    async def test() -> None:
        async with open_details_database(database_url, results=300, is_spread=True) as board:
            await board.materialize()
            await board.connection.execute(
                "UPDATE rollup_sums SET success_rate = round_trip_time WHERE granularity = 3"
            )
            pruner = Pruner(board.connection, pause_s=0)
            before = (await pruner.find(await board.now() - timedelta(days=10))).before
            with pytest.raises(
                SetupError, match="did not match their results and were rebuilt; nothing was deleted"
            ):
                await pruner.verify(before)
            await pruner.verify(before)

    run(test())


def test_six_hours_are_deleted_only_inside_days_that_are_built(pruned_url: str) -> None:
    async def test() -> None:
        async with pruned(pruned_url) as database:
            pruner = Pruner(database.board.connection, pause_s=0)
            assert await pruner.delete_six_hours(await database.board.now()) > 10
            left = "SELECT min(bucket_start) FROM rollup_buckets WHERE granularity = 3"
            assert await database.board.connection.fetchval(left) >= database.before
            everything = [DAY.start_of(database.before - timedelta(days=80)), database.before]
            expected = [each for each in database.results if each.event_time < database.before]
            assert await database.board._compare(SeriesQuery(), everything, database.results) == [
                len(expected)
            ]
            await database.board.materialize()
            assert await database.board._compare(SeriesQuery(), everything, database.results) == [
                len(expected)
            ]

    run(test())
