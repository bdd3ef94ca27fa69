"""Everything about one orchestrator, for its page."""

import time

from orchboard.analytics.errors import count_codes
from orchboard.analytics.ratings import rate_job_types
from orchboard.analytics.recent_request import RecentRequest
from orchboard.analytics.scope import Scope, WindowRequest, envelope_of
from orchboard.analytics.totals import count_orchestrators, total_by
from orchboard.leaderboard import Leaderboard
from orchboard.reports.orchestrator import LastTested, Orchestrator, TestingRegion
from orchboard.reports.uptime import UptimeWindow, WindowName
from orchboard.stats import JobType, SeriesQuery, Window, is_address
from orchboard.store.details.details import Details, Needs
from orchboard.store.details.series_keys import SeriesKey, region_and_job_type_of, tester_and_job_type_of
from orchboard.store.details.sums import SeriesSums, add_up
from orchboard.store.postgres.clock import from_pg_time
from orchboard.window import EARLIEST

UPTIMES: tuple[WindowName, ...] = ("30d", "7d", "24h")
"""The windows of uptime, the longest first."""


async def orchestrator(board: Leaderboard, address: str, scope: Scope, recent: RecentRequest) -> Orchestrator:
    """The page of an orchestrator. scope -- whose query selects this orchestrator"""
    asked_at, window = time.monotonic(), scope.window.resolve(board)
    details = await board.store.details.fetch(scope.query, window, asked_at=asked_at)
    lately = await _fetch_lately(board, scope.query, asked_at)
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
        name=(await board.store.names.current()).get(address, ""),
        status="tested" if is_tested else "not_in_window" if results else "never",
        last_tested_at=envelope["last_result_at"] or (results[0].received_at if results else None),
        scores=rate_job_types(details, has_scores=board.scores_any_name or is_address(address)),
        uptime=[_uptime(name, lately[name].sums) for name in reversed(UPTIMES)],
        errors=count_codes(details.sums.errors, envelope["results"]),
        tested_by_region=_last_tested(lately["30d"], region_and_job_type_of),
        tested_by_tester=_last_tested(lately["30d"], tester_and_job_type_of),
        recent=results[: recent.number],
        testing=None if is_tested else await find_testing_regions(board),
    )


async def _fetch_lately(board: Leaderboard, query: SeriesQuery, asked_at: float) -> dict[WindowName, Details]:
    """The details of each of UPTIMES. asked_at -- see DetailReader"""
    starts = [WindowRequest(name).resolve(board).since for name in UPTIMES]
    edges = [*starts, board.store.clock.horizon()]
    buckets = await board.store.details.fetch_buckets(query, edges, Needs(), asked_at=asked_at)
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


def _last_tested(details: Details, key: SeriesKey[tuple[str, JobType]]) -> list[LastTested]:
    """The last results of each key, the last first. key -- a name and a job type"""
    totals = total_by(details, key)
    found = [
        LastTested(name=name, job_type=job_type, last_at=from_pg_time(last), results=results)
        for (name, job_type), last, results in zip(
            totals.keys, totals.last.tolist(), (totals.results + totals.unscored).tolist(), strict=True
        )
    ]
    return sorted(found, key=lambda each: (-each.last_at.timestamp(), each.name, each.job_type))


async def find_testing_regions(board: Leaderboard) -> list[TestingRegion]:
    """The regions with results in the last 24 hours, sorted."""
    window = WindowRequest("24h").resolve(board)
    details = await board.store.details.fetch(SeriesQuery(), window, Needs())
    totals = total_by(details, region_and_job_type_of)
    orchestrators = count_orchestrators(details, region_and_job_type_of)
    return [
        TestingRegion(
            region=region,
            job_type=job_type,
            results=results,
            orchestrators=orchestrators[region, job_type],
            last_at=from_pg_time(last),
        )
        for (region, job_type), last, results in zip(
            totals.keys, totals.last.tolist(), (totals.results + totals.unscored).tolist(), strict=True
        )
    ]
