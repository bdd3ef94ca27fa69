"""Uptime: the share of scored results that succeeded fully, in cells of a calendar and in windows that end now."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from msgspec.structs import replace

from orchboard.analytics.buckets import bucket_starts, parse_zone, round_edges
from orchboard.analytics.points import fetch_points
from orchboard.analytics.scope import WindowRequest, answer_window
from orchboard.analytics.uptime_request import FAILING_BELOW, GOOD_FROM, WINDOWS, UptimeRequest
from orchboard.leaderboard import Leaderboard
from orchboard.reports.uptime import CellState, Span, Uptime, UptimeCell, UptimeWindow, WindowName
from orchboard.stats import SeriesQuery, Window
from orchboard.store.details.details import Details, Needs
from orchboard.store.details.reader import one_by_one
from orchboard.store.details.sums import NETWORK
from orchboard.store.postgres.clock import from_pg_time
from orchboard.window import LATEST


class Counts(NamedTuple):
    """Counts of some results. last -- receipt time of the last one, in microseconds since 2000; 0 without one"""

    results: int
    unscored: int
    successes: int
    last: int

    @property
    def uptime(self) -> float | None:
        """The share of scored results that succeeded fully; None without one."""
        return self.successes / self.results if self.results else None


async def uptime(board: Leaderboard, request: UptimeRequest) -> Uptime:
    """The uptime of all results that a query selects, pooled."""
    now, zone = board.now(), parse_zone(request.tz)
    round_bound = await board.store.details.round_bounds()
    starts = round_edges(cell_starts(now, request.span, request.cells, zone), round_bound)
    windows = {name: round_bound(WindowRequest(name).resolve(board).since) for name in WINDOWS}
    edges = sorted({*starts, *windows.values()})
    end = board.store.clock.exclusive_end_of(Window(edges[0], LATEST))
    counts = await _count(board, request.query, [*edges, end])

    def between(since: datetime, until: datetime) -> Counts:
        return _add_up(counts[bisect_left(edges, since) : bisect_left(edges, until)])

    total = between(starts[0], end)
    cells = zip(starts, [*starts[1:], end], strict=True)
    return Uptime(
        generated_at=now,
        last_result_at=from_pg_time(total.last) if total.results + total.unscored else None,
        window=answer_window(WindowRequest(None), Window(starts[0], LATEST), now),
        results=total.results + total.unscored,
        span=request.span,
        tz=request.tz,
        good_from=GOOD_FROM,
        failing_below=FAILING_BELOW,
        cells=[_cell(between(since, until), since, min(until, now), zone) for since, until in cells],
        uptime=[_window(name, between(since, end)) for name, since in windows.items()],
    )


def cell_starts(now: datetime, span: Span, cells: int, zone: tzinfo) -> list[datetime]:
    """The starts of the last cells, the present one included. There are 25 or 23 hours in a day when the clock is changed."""
    length = timedelta(hours=1) if span == "hour" else timedelta(days=1)
    starts = bucket_starts(now - (cells + 1) * length, now, "1h" if span == "hour" else "1d", zone)
    return [start for start in starts if start <= now][-cells:]


async def _count(board: Leaderboard, query: SeriesQuery, edges: Sequence[datetime]) -> list[Counts]:
    """The counts of each bucket. Those of the network are read from its own series."""
    if query.orchestrators is None:
        query = replace(query, orchestrators=frozenset([NETWORK]))
    return await fetch_points(
        board, "uptime", query, edges, one_by_one(_counts_of), Needs(), empty=Counts(0, 0, 0, 0)
    )


def _counts_of(details: Details) -> Counts:
    sums = details.sums
    return Counts(
        int(sums.results.sum()),
        int(sums.unscored.sum()),
        int(sums.successes.sum()),
        int(sums.last.max(initial=0)),
    )


def _add_up(counts: Sequence[Counts]) -> Counts:
    results = unscored = successes = last = 0
    for each in counts:
        results += each.results
        unscored += each.unscored
        successes += each.successes
        last = max(last, each.last)
    return Counts(results, unscored, successes, last)


def state_of(counts: Counts) -> CellState:
    """The state of a cell."""
    if counts.uptime is None:
        return "unscored" if counts.unscored else "not_tested"
    if counts.uptime >= GOOD_FROM:
        return "good"
    return "failing" if counts.uptime < FAILING_BELOW else "degraded"


def _cell(counts: Counts, since: datetime, until: datetime, zone: tzinfo) -> UptimeCell:
    return UptimeCell(
        since=since.astimezone(zone),
        until=until.astimezone(zone),
        state=state_of(counts),
        uptime=counts.uptime,
        results=counts.results,
        unscored=counts.unscored,
    )


def _window(name: WindowName, counts: Counts) -> UptimeWindow:
    return UptimeWindow(window=name, uptime=counts.uptime, results=counts.results, unscored=counts.unscored)
