"""Details of any window and buckets equal the oracle's, whatever was materialized and whoever wrote since."""

import asyncio
import json
import random
from datetime import timedelta
from typing import Any

import pytest

from orchboard.stats import JobType, SeriesQuery
from orchboard.store.rollups.buckets import HOUR as HOURS
from orchboard.store.sql_files import sql
from tests.support.database import run
from tests.support.details_database import (
    DetailsDatabase,
    open_details_database,
    random_times,
    with_details_database,
    with_materialized_details,
)
from tests.support.details_oracle import fetch_stored
from tests.support.samples import ai
from tests.support.store_writes import submit

pytestmark = pytest.mark.timeout(600)  # builds rollups, on machines that do other things too

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)

CHANGES = [
    pytest.param("DELETE FROM events WHERE id % 3 = 0", id="delete here and there"),
    pytest.param("DELETE FROM events WHERE event_time > now() - interval '2 days'", id="delete new results"),
    pytest.param("DELETE FROM events WHERE lower(orchestrator) <> '0xaa'", id="delete most series"),
    pytest.param(
        """UPDATE events SET payload = payload || '{"success_rate": 0.25, "errors": [{"error_code": "NEW", "count": 2}]}'
           WHERE id % 7 = 0 AND jsonb_typeof(payload) = 'object'""",
        id="update payloads",
    ),
    pytest.param("UPDATE events SET orchestrator = '0xEE' WHERE id % 5 = 0", id="rename an orchestrator"),
    pytest.param("UPDATE events SET tester_id = (SELECT max(id) FROM testers) WHERE id % 5 = 0", id="change testers"),
    pytest.param("UPDATE testers SET name = 'renamed' WHERE name = 'alpha'", id="rename a tester"),
    pytest.param("DELETE FROM testers WHERE name = 'alpha'", id="delete a tester"),
    pytest.param(
        "UPDATE events SET event_time = event_time - interval '30 hours' WHERE id % 11 = 0", id="move in time"
    ),
    pytest.param(
        """INSERT INTO events (event_time, orchestrator, region_id, payload)
           SELECT event_time - interval '90 minutes', '0xff', region_id, payload FROM events""",
        id="insert into the past",
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
]  # fmt: skip


@pytest.fixture(autouse=True)
def _every_request_refreshes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write with SQL and query at once."""
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", -1)


@pytest.mark.parametrize(("is_spread", "least"), [(True, 100), (False, 10)], ids=["spread", "islands"])
def test_details_equal_the_oracle_before_and_after_materialization(
    database_url: str, is_spread: bool, least: int
) -> None:
    async def test(board: DetailsDatabase) -> None:
        await board.compare(windows=4)
        assert await board.materialize(details=3) > least
        await board.compare(windows=4)
        await board.materialize()
        await board.compare(windows=15)

    with_details_database(database_url, test, is_spread=is_spread)


@pytest.mark.parametrize("statement", CHANGES)
def test_a_change_by_plain_sql_is_in_all_details_at_once_and_after_a_rebuild(
    details: str, statement: str
) -> None:
    async def test(board: DetailsDatabase) -> None:
        await board.compare(windows=1)
        await board.connection.execute(statement)
        await board.compare(windows=3)
        await board.materialize()
        await board.compare(windows=3)
        async with open_details_database(details, results=0) as another:  # a server that has just started
            await another.compare(windows=3)

    with_materialized_details(details, test)


def test_late_results_are_in_all_details_at_once_and_after_a_rebuild(details: str) -> None:
    async def test(board: DetailsDatabase) -> None:
        for days in (0.01, 0.2, 1.5, 20, 60):
            late = await board.now() - timedelta(days=days)
            await board.insert([late, late + timedelta(seconds=1)])
            await board.compare(windows=3)
        await board.materialize()
        await board.compare()

    with_materialized_details(details, test)


def test_a_live_tail_is_in_all_details(details: str) -> None:
    async def test(board: DetailsDatabase) -> None:
        for number in range(8):
            await board.insert([await board.now()])
            errors = [{"error_code": f"e{number % 3}", "message": f"m{number}", "count": number}]
            posted: Any = ai(errors=errors, model_is_warm=bool(number % 2))
            del posted["timestamp"]
            await submit(board.store, number)
            await submit(board.store, number, **posted)
            await board.compare_last(HOUR)
            await board.compare_last(timedelta(days=2))
        await board.compare(windows=4)
        await board.materialize()
        await board.compare_last(HOUR)

    with_materialized_details(details, test)


def test_results_without_pipeline_and_model_have_a_median(database_url: str) -> None:
    """Only other programs store such AI results. Their median is read from the summary of a bucket, beside that of a model."""

    async def test(board: DetailsDatabase) -> None:
        until = HOURS.start_of(await board.now() - HOUR)
        names = [{}, {"pipeline": "p", "model": "m"}, {"pipeline": "p"}]
        await board.connection.execute(
            """INSERT INTO events (event_time, orchestrator, region_id, payload)
               SELECT $1::timestamptz, '0xaa', r.id, given.payload::jsonb
               FROM unnest($2::text[]) AS given (payload), regions r
               WHERE r.name = 'FRA' AND r.job_type_id = (SELECT id FROM job_types WHERE name = 'ai')""",
            until - MINUTE,
            [
                json.dumps({"round_trip_time": 2.5 + at, "success_rate": 1, **each})
                for at, each in enumerate(names)
            ],
        )
        await board.materialize()
        query = SeriesQuery(job_type=JobType.AI, orchestrators=frozenset({"0xaa"}))
        [details] = await board.store.details.fetch_buckets(query, [until - HOUR, until])
        assert details.medians == {("", ""): 2.5, ("p", "m"): 3.5, ("p", ""): 4.5}

    with_details_database(database_url, test, results=0)


def test_results_with_future_receipt_times_are_in_windows_that_reach_them_only(database_url: str) -> None:
    async def test(board: DetailsDatabase) -> None:
        now = await board.now()
        await board.insert([now + timedelta(minutes=1), now + 2 * HOUR])
        for _ in range(2):
            await board.compare(windows=3)
            await board.compare_last(HOUR)
            await board.materialize()

    with_details_database(database_url, test, results=300)


def test_details_during_a_rebuild_equal_the_oracle(details: str) -> None:
    async def test(board: DetailsDatabase) -> None:
        await board.connection.execute("UPDATE events SET orchestrator = '0xEE' WHERE id % 5 = 0")
        async with open_details_database(details, results=0, seed=9) as builder:
            building = asyncio.create_task(builder.materialize())
            while not building.done():
                await board.compare(windows=1)
            await building
        await board.compare()

    with_materialized_details(details, test)


def test_a_database_without_results_has_no_details(database_url: str) -> None:
    async def test(board: DetailsDatabase) -> None:
        for _ in range(2):
            await board.compare_last(HOUR)
            await board.materialize()
        await board.insert(random_times(random.Random(3), await board.now(), 5))
        await board.compare_last(timedelta(days=90))

    with_details_database(database_url, test, results=0)


def test_details_are_deleted_after_their_bucket_and_not_before(database_url: str) -> None:
    """A bucket that begins before the end of its retention, and ends after it, is still read."""

    async def test() -> None:
        async with open_details_database(database_url, results=300) as board:
            await board.materialize()
            bucket = await board.connection.fetchrow(
                "SELECT granularity, bucket_start, bucket_end FROM rollup_buckets "
                "WHERE granularity = 1 AND results > 0 AND details_revision = revision ORDER BY bucket_start LIMIT 1"
            )
            assert bucket is not None
            moment = bucket["bucket_start"] + timedelta(minutes=5)
            await board.connection.execute(sql("prune_details"), 1, moment)
            edges = [bucket["bucket_start"], bucket["bucket_end"]]
            [number] = await board._compare(SeriesQuery(), edges, await fetch_stored(board.connection))
            assert number > 0
            await board.connection.execute("DELETE FROM rollup_buckets WHERE granularity = 1")
            await board.connection.execute(sql("prune_details"), 1, moment)
            left = "SELECT count(*) FROM rollup_details WHERE granularity = 1 AND bucket_start < $1"
            assert not await board.connection.fetchval(left, moment)

    run(test())
