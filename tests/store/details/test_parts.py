"""Details of many orchestrators are computed some orchestrators at a time; the parts together are the whole."""

from datetime import timedelta
from itertools import pairwise

import pytest

from orchboard import limits
from orchboard.stats import JobType, PartQuery, SeriesQuery
from tests.support.details_database import DetailsDatabase, with_details_database
from tests.support.details_oracle import assert_details_match, fetch_stored, select

pytestmark = pytest.mark.timeout(600)  # builds rollups, on machines that do other things too

DAY = timedelta(days=1)
QUERIES = SeriesQuery(), SeriesQuery(job_type=JobType.AI, region="FRA"), SeriesQuery(tester="alpha")


@pytest.fixture(autouse=True)
def _every_request_refreshes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write with SQL and query at once."""
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", -1)


def divide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide details of more than a few series into parts."""
    monkeypatch.setattr("orchboard.limits.DETAIL_PART_RESULTS", 100)
    monkeypatch.setattr("orchboard.limits.DETAIL_PART_BYTES", 1_000)


async def compare(board: DetailsDatabase, query: SeriesQuery) -> list[SeriesQuery]:
    """Compare the parts of a query with the oracle, in several buckets; returns them."""
    now, results = await board.now(), await fetch_stored(board.connection)
    edges = [now - 50 * DAY, now - 7 * DAY, now - DAY, now + DAY]
    details = board.store.details
    parts = await details.parts(query, edges)
    found = [await details.fetch_buckets(part, edges) for part in parts]
    for (since, until), *of_bucket in zip(pairwise(edges), *found, strict=True):
        numbers = [
            assert_details_match(each, results, part, since, until)
            for part, each in zip(parts, of_bucket, strict=True)
        ]
        assert sum(numbers) == len(select(results, query, since, until)), "each result is in one part"
    return parts


@pytest.mark.parametrize("query", QUERIES, ids=["all", "ai", "tester"])
def test_parts_together_are_the_whole(
    database_url: str, monkeypatch: pytest.MonkeyPatch, query: SeriesQuery
) -> None:
    divide(monkeypatch)

    async def test(board: DetailsDatabase) -> None:
        assert await compare(board, query) == [query], "results without a rollup are read once"
        await board.materialize()
        parts = await compare(board, query)
        assert len(parts) > 3
        await board.insert([await board.now() - age * DAY for age in (0.0, 0.5, 3, 30)])
        await board.connection.execute("UPDATE events SET orchestrator = '0xab' WHERE id % 7 = 0")
        assert await compare(board, query) == [query], "rollups are outdated"
        await board.materialize()
        assert len(await compare(board, query)) > 3

    with_details_database(database_url, test, results=400)


def test_a_part_holds_about_the_bytes_that_it_may(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one orchestrator each, and not all in one: the ranges follow the sizes that are stored."""
    divide(monkeypatch)
    sizes = """
        SELECT orchestrator COLLATE "C", max(octet_length(entries) + coalesce(octet_length(errors), 0))
        FROM rollup_details WHERE granularity >= 3 AND orchestrator <> '' GROUP BY 1
    """

    async def test(board: DetailsDatabase) -> None:
        await board.materialize()
        now = await board.now()
        parts = await board.store.details.parts(SeriesQuery(), [now - 50 * DAY, now])
        stored = {row[0]: row[1] for row in await board.connection.fetch(sizes)}
        for part in parts:
            assert isinstance(part, PartQuery)
            own = [stored[name] for name in stored if part.names.contain([name])[0]]
            assert sum(own) - max(own) <= limits.DETAIL_PART_BYTES
        assert len(parts) <= 2 * sum(stored.values()) / limits.DETAIL_PART_BYTES + 1

    with_details_database(database_url, test, results=400)


def test_details_that_fit_are_not_divided(database_url: str) -> None:
    async def test(board: DetailsDatabase) -> None:
        await board.materialize()
        now = await board.now()
        assert await board.store.details.parts(SeriesQuery(), [now - 50 * DAY, now]) == [SeriesQuery()]

    with_details_database(database_url, test, results=100)
