"""Standings are computed once for all pages, orders and filters, and some orchestrators at a time."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from orchboard.analytics.compare import compare
from orchboard.analytics.leaderboard import leaderboard
from orchboard.analytics.ranking_query import RankingQuery
from orchboard.analytics.scope import Scope, WindowRequest
from orchboard.analytics.standings import standings_of
from orchboard.leaderboard import Leaderboard, utc_now
from orchboard.stats import JobType, SeriesQuery
from orchboard.store.store import Store
from tests.support.details_database import DetailsDatabase, open_details_database, with_details_database

pytestmark = pytest.mark.timeout(600)  # builds rollups, on machines that do other things too

SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _every_request_refreshes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write with SQL and query at once."""
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", -1)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of series of each details that standings were computed from."""
    found: list[int] = []

    def count(details: Any, *arguments: Any, **options: Any) -> Any:
        found.append(len(details.sums.series))
        return standings_of(details, *arguments, **options)

    monkeypatch.setattr("orchboard.analytics.leaderboard.standings_of", count)
    return found


def board_of(store: Store, now: Callable[[], datetime] = utc_now) -> Leaderboard:
    return Leaderboard(
        store, default_window=timedelta(days=1), pipelines_cache_s=0, scores_any_name=True, now=now
    )


def query_of(name: str = "30d", job_type: JobType = JobType.TRANSCODING, **members: Any) -> RankingQuery:
    return RankingQuery(scope=Scope(SeriesQuery(job_type=job_type), WindowRequest(name)), **members)


def test_pages_orders_and_filters_of_a_held_ranking_compute_no_standings(
    database_url: str, computed: list[int]
) -> None:
    async def test(board: DetailsDatabase) -> None:
        await board.materialize()
        await board.insert([await board.now() - 30 * SECOND])
        analytics, first = board_of(board.store), query_of(limit=2)
        page = await leaderboard(analytics, first)
        assert len(computed) == 1 and page.next_cursor is not None and page.matches > 4
        following = replace(first, page=first.parse_cursor(page.next_cursor))
        for query in (
            following,
            query_of(sort="results", descending=True),
            query_of(search="x"),
            query_of(min_results=2),
            query_of(sort="p50"),
        ):
            await leaderboard(analytics, query)
        await compare(analytics, first.scope, [each.orchestrator for each in page.orchestrators])
        assert len(computed) == 1, "the ranking is held"
        second = await leaderboard(analytics, following)
        await board.insert([await board.now()])
        again = await leaderboard(analytics, following)
        assert len(computed) == 1, "the next page ends before the new result"
        assert again.orchestrators == second.orchestrators
        await leaderboard(analytics, first)
        assert len(computed) == 2, "the new result is on the first page"

    with_details_database(database_url, test, results=300)


@pytest.mark.parametrize("job_type", JobType)
def test_a_leaderboard_in_parts_is_that_of_the_whole(
    database_url: str, monkeypatch: pytest.MonkeyPatch, computed: list[int], job_type: JobType
) -> None:
    async def test(board: DetailsDatabase) -> None:
        await board.materialize()
        await board.insert([await board.now() - 30 * SECOND] * 9)
        now = await board.now()
        query = query_of("90d", job_type)
        whole = await leaderboard(board_of(board.store, lambda: now), query)
        assert len(computed) == 1
        monkeypatch.setattr("orchboard.limits.DETAIL_PART_RESULTS", 50)
        monkeypatch.setattr("orchboard.limits.DETAIL_PART_BYTES", 1_000)
        async with open_details_database(board.url, results=0) as another:
            parts = await leaderboard(board_of(another.store, lambda: now), query)
        assert len(computed) > 4
        assert max(computed[1:]) < computed[0] / 2, "no part has most series"
        assert rounded(msgspec.to_builtins(parts)) == rounded(msgspec.to_builtins(whole))

    with_details_database(database_url, test, results=500)


def test_quantiles_that_are_read_some_at_a_time_are_those_of_all(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(board: DetailsDatabase) -> None:
        await board.materialize()
        now = await board.now()
        query = query_of("90d", sort="p50")
        at_once = await leaderboard(board_of(board.store, lambda: now), query)
        monkeypatch.setattr("orchboard.analytics.leaderboard.QUANTILES_AT_ONCE", 2)
        in_pairs = await leaderboard(board_of(board.store, lambda: now), query)
        assert in_pairs == at_once
        assert sum(row.round_trip is not None for row in at_once.orchestrators) > 4

    with_details_database(database_url, test, results=300)


def rounded(value: Any) -> Any:
    """Without the digits that depend on the order in which results were added up."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value
