"""What is kept of a window without the live tail is not used for a longer one that has the same rollups, and the tail."""

from collections import Counter
from datetime import datetime, timedelta

import pytest

from orchboard.stats import SeriesQuery, Window
from orchboard.store.details.details import Details, Needs
from orchboard.store.details.reader import one_by_one
from orchboard.store.postgres.clock import MICROSECOND, from_pg_time
from orchboard.store.rollups.buckets import HOUR
from tests.support.details_database import DetailsDatabase, with_details_database
from tests.support.details_oracle import fetch_stored, medians, select

pytestmark = pytest.mark.timeout(600)  # builds rollups, on machines that do other things too

MEDIANS = Needs(medians=True)


def test_a_window_that_ends_where_the_tail_begins_is_not_taken_for_one_with_the_tail(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", -1)

    async def test(board: DetailsDatabase) -> None:
        details, query = board.store.details, SeriesQuery()
        now = await board.now()
        since = HOUR.start_of(now) - timedelta(hours=3)
        await board.insert([since + timedelta(minutes=minute) for minute in range(0, 170, 5)] * 3)
        await board.materialize()
        await board.insert([await board.now()] * 30)

        async def count(edges: list[datetime]) -> Counter[int]:
            def compute(found: Details) -> Counter[int]:
                return Counter(found.sums.results.tolist())

            [point] = await details.fetch_points("counted", query, edges, one_by_one(compute))
            return point

        async def check(until: datetime) -> None:
            found = await details.fetch(query, Window(since, until - MICROSECOND), MEDIANS)
            results = await fetch_stored(board.connection)
            assert found.medians == medians(results, None, since, until)
            counted = await count([since, until])
            own = select(results, query, since, until)
            assert sum(size * number for size, number in counted.items()) == sum(
                each.is_scored for each in own
            )

        await details.fetch(query, Window(since, now), MEDIANS)
        tail_since = from_pg_time(details._plans.tail.since)
        assert since < tail_since < await board.now()
        await check(tail_since)
        await check(await board.now())

    with_details_database(database_url, test, results=0)
