"""Everything about one orchestrator, for its page."""

from collections.abc import Callable

from orchboard.analytics.errors import count_codes
from orchboard.analytics.grouping import group_sums
from orchboard.analytics.ratings import rate_job_types
from orchboard.analytics.recent_request import RecentRequest
from orchboard.analytics.scope import Scope, WindowRequest, envelope_of
from orchboard.leaderboard import Leaderboard
from orchboard.reports.orchestrator import LastTested, Orchestrator, TestingRegion
from orchboard.reports.uptime import UptimeWindow, WindowName
from orchboard.stats import Series, SeriesQuery, Window, is_address
from orchboard.store.details.details import Details
from orchboard.store.details.sums import SeriesSums, add_up
from orchboard.store.postgres.clock import from_pg_time
from orchboard.window import EARLIEST

UPTIMES: tuple[WindowName, ...] = ("30d", "7d", "24h")
"""The windows of uptime, the longest first."""


async def orchestrator(board: Leaderboard, address: str, scope: Scope, recent: RecentRequest) -> Orchestrator:
    """The page of an orchestrator. scope -- whose query selects this orchestrator"""
    window = scope.window.resolve(board)
    details = await board.store.details.fetch(scope.query, window)
    lately = await _fetch_lately(board, scope.query)
    results = await board.store.recent_results.fetch(
        address,
        scope.query,
        Window(EARLIEST, window.until),
        max(recent.number, 1),
        with_payload=recent.with_payload and recent.number > 0,
    )
    envelope = envelope_of(scope.window, window, board.now(), details)
    is_tested = bool(envelope["results"])
    return Orchestrator(
        **envelope,
        address=address,
        status="tested" if is_tested else "not_in_window" if results else "never",
        last_tested_at=envelope["last_result_at"] or (results[0].received_at if results else None),
        scores=rate_job_types(details, has_scores=board.scores_any_name or is_address(address)),
        uptime=[_uptime(name, lately[name].sums) for name in reversed(UPTIMES)],
        errors=count_codes(details.sums.errors, envelope["results"]),
        tested_by_region=_last_tested(lately["30d"], lambda series: series.region),
        tested_by_tester=_last_tested(lately["30d"], lambda series: series.tester),
        recent=results[: recent.number],
        testing=None if is_tested else await find_testing_regions(board),
    )


async def _fetch_lately(board: Leaderboard, query: SeriesQuery) -> dict[WindowName, Details]:
    """The details of each of UPTIMES."""
    starts = [WindowRequest(name).resolve(board).since for name in UPTIMES]
    edges = [*starts, board.store.clock.horizon()]
    buckets = await board.store.details.fetch_buckets(
        query, edges, with_medians=False, with_round_trips=False
    )
    return {
        name: Details(buckets[0].index, add_up([bucket.sums for bucket in buckets[at:]]), {})
        for at, name in enumerate(UPTIMES)
    }


def _uptime(name: WindowName, sums: SeriesSums) -> UptimeWindow:
    results = int(sums.results.sum())
    return UptimeWindow(
        window=name,
        uptime=int(sums.successes.sum()) / results if results else None,
        results=results,
        unscored=int(sums.unscored.sum()),
    )


def _last_tested(details: Details, key: Callable[[Series], str]) -> list[LastTested]:
    """The last results of each key and job type, the last first."""
    keys, sums = group_sums(details.index, details.sums, lambda series: (key(series), series.job_type))
    found = [
        LastTested(name=name, job_type=job_type, last_at=from_pg_time(last), results=results)
        for (name, job_type), last, results in zip(
            keys, sums.last.tolist(), (sums.results + sums.unscored).tolist(), strict=True
        )
    ]
    return sorted(found, key=lambda each: (-each.last_at.timestamp(), each.name, each.job_type))


async def find_testing_regions(board: Leaderboard) -> list[TestingRegion]:
    """The regions with results in the last 24 hours, sorted."""
    window = WindowRequest("24h").resolve(board)
    details = await board.store.details.fetch(
        SeriesQuery(), window, with_medians=False, with_round_trips=False
    )
    tested: dict[tuple[str, str], set[str]] = {}
    for number in details.sums.series.tolist():
        series = details.index.all[number]
        tested.setdefault((series.region, series.job_type), set()).add(series.orchestrator)
    keys, sums = group_sums(details.index, details.sums, lambda series: (series.region, series.job_type))
    return [
        TestingRegion(
            region=region,
            job_type=job_type,
            results=results,
            orchestrators=len(tested[region, job_type]),
            last_at=from_pg_time(last),
        )
        for (region, job_type), last, results in zip(
            keys, sums.last.tolist(), (sums.results + sums.unscored).tolist(), strict=True
        )
    ]
