"""A month's round trips of the network are only in its days, and answers from days equal the oracle's."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import numpy as np
import pytest

from orchboard.stats import JobType, SeriesQuery, Window
from orchboard.store.details.bucket_reader import BucketReader, Wanted
from orchboard.store.details.builder import DetailBuilder
from orchboard.store.details.details import Needs
from orchboard.store.details.sums import NETWORK, SeriesSums, add_up
from orchboard.store.postgres.clock import to_pg_time
from orchboard.store.rollups.buckets import MONTH
from orchboard.store.rollups.window_plan import BucketKey
from orchboard.window import LATEST
from tests.support.details_database import DetailsDatabase, with_materialized_details
from tests.support.details_oracle import StoredResult, fetch_stored, medians, select

pytestmark = pytest.mark.timeout(600)  # builds rollups, on machines that do other things too

POOLED = SeriesQuery(orchestrators=frozenset([NETWORK]))
NETWORK_OF_MONTHS = """
SELECT octet_length(entries) > 0 AS has_entries, octet_length(round_trips) AS round_trips, summary IS NOT NULL AS has_summary
FROM rollup_details WHERE granularity = 5 AND orchestrator = ''
"""
OUTDATE_MONTHS = "UPDATE rollup_buckets SET details_revision = NULL WHERE granularity = 5"
DELETE_BUCKETS = (
    "DELETE FROM rollup_buckets WHERE granularity IN (3, 4) AND bucket_start >= $1 AND bucket_end <= $2"
)


def last_month(now: datetime) -> tuple[datetime, datetime]:
    """The last month that has ended."""
    until = MONTH.start_of(now)
    return MONTH.start_of(until - timedelta(days=1)), until


async def fill(board: DetailsDatabase, number: int = 300) -> None:
    """Store random results in three days of the last month, at its bounds, and now; and build everything but the last."""
    now = await board.now()
    since, until = last_month(now)
    days = [since + timedelta(days=day) for day in (0, 3, 11)]
    times = [
        board.chance.choice(days) + timedelta(hours=24 * board.chance.random() / 3) for _ in range(number)
    ]
    bounds = [since, until - timedelta(microseconds=1), until, since - timedelta(microseconds=1)]
    await board.insert([*times, *bounds * 5])
    await board.materialize()
    await board.insert([await board.now()] * 20)


async def compare(board: DetailsDatabase, results: Sequence[StoredResult], edges: Sequence[datetime]) -> None:
    """Compare a window with the oracle: of each orchestrator, in a region, and of the network."""
    for query in (SeriesQuery(), SeriesQuery(job_type=JobType.AI, region="FRA")):
        await board._compare(query, edges, results)
    [details] = await board.store.details.fetch_buckets(POOLED, edges, Needs(medians=True, round_trips=True))
    since, until = edges
    own = select(results, SeriesQuery(), since, until)
    assert details.medians == medians(results, None, since, until)
    assert int(details.sums.results.sum()) == sum(each.is_scored for each in own)
    expected = sorted(each.round_trip for each in own if each.round_trip is not None)
    assert np.sort(details.sums.round_trips).tolist() == expected


async def compare_month(board: DetailsDatabase) -> None:
    """Compare the month as a whole, with parts of days on both sides, and up to now."""
    now, results = await board.now(), await fetch_stored(board.connection)
    since, until = last_month(now)
    await compare(board, results, [since, until])
    await compare(board, results, [since - timedelta(hours=7), until + timedelta(hours=31)])
    await compare(board, results, [since, now])
    open_window = await board.store.details.fetch(SeriesQuery(), Window(since, LATEST), Needs(medians=True))
    assert open_window.medians == medians(results, None, since, now + timedelta(minutes=5))


async def rebuild_months(board: DetailsDatabase) -> None:
    await board.connection.execute(OUTDATE_MONTHS)
    assert await DetailBuilder(board.connection).run() >= 1


async def check_rows(board: DetailsDatabase, *, has_round_trips: bool = False) -> None:
    """Check the network's rows of months."""
    rows = await board.connection.fetch(NETWORK_OF_MONTHS)
    assert len(rows) >= 2
    for row in rows:
        assert row["has_entries"]
        assert (row["round_trips"] > 0, row["has_summary"]) == (has_round_trips, has_round_trips)


def with_month(url: str, test: Callable[[DetailsDatabase], Awaitable[None]]) -> None:
    async def fill_and_test(board: DetailsDatabase) -> None:
        await fill(board)
        await test(board)

    with_materialized_details(url, fill_and_test)


@pytest.mark.parametrize("whole", [1_500, 5], ids=["whole", "bounded"])
def test_a_month_built_from_days_has_no_round_trips_of_the_network(
    details: str, monkeypatch: pytest.MonkeyPatch, whole: int
) -> None:
    """whole -- so many round trips of a model are held whole, further ones only near the median"""
    monkeypatch.setattr("orchboard.store.details.ranked_reader.WHOLE", whole)

    async def test(board: DetailsDatabase) -> None:
        await check_rows(board)
        await compare_month(board)

    with_month(details, test)


def test_a_month_built_from_results_has_no_round_trips_of_the_network(details: str) -> None:
    """A day is missing, so the month is built from results, and the day is read from results."""

    async def test(board: DetailsDatabase) -> None:
        since, _ = last_month(await board.now())
        deleted = await board.connection.execute(DELETE_BUCKETS, since, since + timedelta(days=1))
        assert deleted > "DELETE 1"
        await rebuild_months(board)
        await check_rows(board)
        await compare_month(board)

    with_month(details, test)


def test_round_trips_of_the_network_that_are_stored_with_a_month_are_not_read(
    details: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As releases before this one stored them; the next build drops them."""

    async def test(board: DetailsDatabase) -> None:
        with monkeypatch.context() as patched:
            patched.setattr("orchboard.store.details.builder._has_round_trips_of_network", lambda _: True)
            await rebuild_months(board)
        await check_rows(board, has_round_trips=True)
        await board.connection.execute(
            "UPDATE rollup_details SET round_trips = decode(repeat('00', octet_length(round_trips)), 'hex'), summary = NULL "
            "WHERE granularity = 5 AND orchestrator = ''"
        )
        await compare_month(board)
        await rebuild_months(board)
        await check_rows(board)
        await compare_month(board)

    with_month(details, test)


def test_reading_a_months_round_trips_of_the_network_is_an_error(details: str) -> None:
    async def test(board: DetailsDatabase) -> None:
        since, _ = last_month(await board.now())
        row = await board.connection.fetchrow(
            "SELECT revision FROM rollup_buckets WHERE granularity = 5 AND bucket_start = $1", since
        )
        assert row is not None
        month = BucketKey(MONTH.number, to_pg_time(since), row["revision"])
        reader = board.store.details._plans._buckets
        with pytest.raises(ValueError, match="only in its days"):
            await reader.totals([([month], False)], Wanted((NETWORK, "0xaa"), round_trips=True))
        with pytest.raises(ValueError, match="only in its days"):
            await reader.summaries([month])
        [sums] = await reader.totals([([month], False)], Wanted((NETWORK,), round_trips=False))
        assert sums.results.sum() > 100
        [own] = await reader.totals([([month], False)], Wanted(("0xaa",), round_trips=True))
        assert len(own.round_trips)

    with_month(details, test)


def test_no_array_of_a_builder_or_of_a_median_has_a_months_round_trips(
    details: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest one has those of an orchestrator in the month, or of the network in a day."""
    built: list[int] = []
    read: list[int] = []

    def add_up_and_note(parts: Sequence[SeriesSums]) -> SeriesSums:
        total = add_up(parts)
        built.append(len(total.round_trips))
        return total

    totals = BucketReader.totals

    async def read_and_note(
        self: BucketReader, windows: Sequence[tuple[Sequence[BucketKey], bool]], wanted: Wanted
    ) -> list[SeriesSums]:
        found = await totals(self, windows, wanted)
        if NETWORK in (wanted.orchestrators or ()):
            read.extend(len(sums.round_trips) for sums in found)
        return found

    monkeypatch.setattr("orchboard.store.details.builder.add_up", add_up_and_note)
    monkeypatch.setattr(BucketReader, "totals", read_and_note)
    monkeypatch.setattr("orchboard.store.details.plans._BATCH_RESULTS", 1)

    async def test(board: DetailsDatabase) -> None:
        built.clear()
        await rebuild_months(board)
        since, until = last_month(await board.now())
        own = select(await fetch_stored(board.connection), SeriesQuery(), since, until)
        counted = [each for each in own if each.round_trip is not None]
        by_name = np.unique([each.series.orchestrator for each in counted], return_counts=True)[1]
        by_day = np.unique([each.event_time.date() for each in counted], return_counts=True)[1]
        assert max(built) == by_name.max() < len(counted)
        window = Window(since, until - timedelta(microseconds=1))
        await board.store.details.fetch(SeriesQuery(), window, Needs(medians=True))
        assert max(read) == by_day.max() < len(counted)
        assert sum(read) == len(counted)  # once

    with_month(details, test)
