"""The leaderboard: orchestrators ranked by score, with everything that is known of each in a window."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from orchboard.analytics.groups import OwnerScores
from orchboard.analytics.nullable import with_none
from orchboard.analytics.ranking_query import RankingQuery, SortValue, position_after, sort_rows
from orchboard.analytics.scope import WINDOWS, WindowRequest, envelope_of_extent
from orchboard.analytics.sparkline import edges_of, fetch_scores, lines_of
from orchboard.analytics.standings import Standings, join_standings, standings_of
from orchboard.leaderboard import Leaderboard
from orchboard.reports.leaderboard import Estimate, Ranking, RoundTrips, Standing
from orchboard.scoring import Doubles
from orchboard.stats import JobType, SeriesQuery, Window
from orchboard.store.details.details import Needs
from orchboard.store.postgres.clock import MICROSECOND, from_pg_time
from orchboard.store.rollups.group_index import Indices
from orchboard.window import EARLIEST


async def leaderboard(board: Leaderboard, query: RankingQuery) -> Ranking:
    """One page of the leaderboard."""
    asked = query.scope
    window = asked.window.resolve(board) if query.page is None else query.page.window
    whole = replace(asked.query, orchestrators=None)
    found = await fetch_standings(board, whole, asked.window, window)
    standings = found.standings
    if query.min_results:
        standings = standings.select(np.flatnonzero(standings.results >= query.min_results))
    called = await board.store.names.current()
    rows = RankingTable(standings, found, called)
    names = standings.names
    if query.sort in PERCENTILES:
        await rows.fetch_round_trips(board, whole, found, names)
    values = rows.values(query.sort)
    selected = {
        name: values[at] for at, name in enumerate(names) if query.selects(name, called.get(name, ""))
    }
    ordered = sort_rows(selected, descending=query.descending)
    first = (
        0
        if query.page is None
        else position_after(selected, ordered, query.page, descending=query.descending)
    )
    page = ordered[first : first + query.limit]
    await rows.fetch_round_trips(board, whole, found, page)
    next_cursor = None
    if first + query.limit < len(ordered):
        next_cursor = query.cursor(found.closed, selected[page[-1]], page[-1])
    return Ranking(
        **envelope_of_extent(asked.window, window, found.now, standings.extent),
        job_type=found.job_type,
        ranked=standings.ranked,
        matches=len(ordered),
        buckets=found.buckets,
        orchestrators=rows.standings(page),
        next_cursor=next_cursor,
    )


class FoundStandings(Struct, frozen=True):
    """The standings of a window, and the scores beside them.

    asked_at -- time.monotonic: what was stored before is included
    standings -- of the window
    closed -- the window with a fixed end
    buckets -- starts of the buckets of the sparklines
    before -- scores in the window before, None without one
    in_buckets -- scores in each bucket
    """

    asked_at: float
    now: datetime
    job_type: JobType
    standings: Standings
    closed: Window
    buckets: list[datetime]
    before: OwnerScores | None
    in_buckets: list[OwnerScores]


async def fetch_standings(
    board: Leaderboard, query: SeriesQuery, request: WindowRequest, window: Window
) -> FoundStandings:
    """The standings of a window, and the scores in its buckets and in the window before. Standings are held: see `DetailReader.hold`."""
    asked_at, now, job_type = time.monotonic(), board.now(), query.job_type or JobType.TRANSCODING

    def close(standings: Standings) -> Window:
        last = now if standings.extent.last is None else from_pg_time(standings.extent.last)
        return Window(window.since, min(window.until, max(now, last)))

    standings = await board.store.details.hold(
        ("standings", query, board.scores_any_name),
        window,
        lambda: _compute_standings(board, query, job_type, window, asked_at),
        size=lambda made: made.size,
        closed=close,
        asked_at=asked_at,
    )
    closed, first = close(standings), standings.extent.first
    since = closed.since
    if since <= EARLIEST:
        since = closed.until if first is None else from_pg_time(first)
    round_bound = await board.store.details.round_bounds(asked_at=asked_at)
    edges = edges_of(since, closed.until + MICROSECOND, round_bound)
    start = _before(request, closed)
    scores: list[OwnerScores] = []
    if len(edges) > 1:
        starts = [] if start is None else [start]
        scores = await fetch_scores(board, query, job_type, [*starts, *edges], asked_at=asked_at)
    split = int(start is not None and bool(scores))
    before = scores[0] if split else None
    return FoundStandings(asked_at, now, job_type, standings, closed, edges[:-1], before, scores[split:])


async def _compute_standings(
    board: Leaderboard, query: SeriesQuery, job_type: JobType, window: Window, asked_at: float
) -> Standings:
    """The standings of a window, from the details of some orchestrators at a time."""
    needs, details = Needs(medians=True, errors=True), board.store.details
    edges = [window.since, max(window.since, window.until)]
    while True:
        parts = [
            standings_of(
                await details.fetch(part, window, needs, asked_at=asked_at),
                job_type,
                any_name=board.scores_any_name,
            )
            for part in await details.parts(query, edges, asked_at=asked_at)
        ]
        if all(part.columns is parts[0].columns for part in parts):  # no region has changed meanwhile
            return join_standings(parts)


def _before(request: WindowRequest, window: Window) -> datetime | None:
    """The start of the window before, which is as long; None without one."""
    length = WINDOWS[request.name].length if request.name else None
    length = length or window.until - window.since
    if length <= timedelta(0) or window.since - EARLIEST <= length:
        return None
    return window.since - length


class RankingTable:
    """The rows of the leaderboard."""

    def __init__(self, standings: Standings, found: FoundStandings, called: Mapping[str, str]) -> None:
        """standings -- those of `found`, or some of them; called -- the names that the operator gave, by address"""
        self.of = standings
        self.ranks = standings.ranks()
        self.full_success = standings.full_success()
        self._called = called
        self._job_type = found.job_type
        self._buckets = found.in_buckets
        self._position = {name: at for at, name in enumerate(standings.names)}
        self.trend: Doubles = np.full(standings.ranked, np.nan)
        if found.before is not None:
            ranked = standings.owner[: standings.ranked]
            was = lines_of([found.before], standings.columns, ranked)
            self.trend = standings.estimates.score - was[:, 0]
        self._round_trips: dict[str, list[float]] = {}

    async def fetch_round_trips(
        self, board: Leaderboard, query: SeriesQuery, found: FoundStandings, names: Sequence[str]
    ) -> None:
        """Fetch the quantiles of some orchestrators, unless they are known."""
        missing = {
            name: int(self.of.results[self._position[name]])
            for name in names
            if name not in self._round_trips
        }
        results = list(missing.items())
        for first in range(0, len(results), QUANTILES_AT_ONCE):
            self._round_trips |= await board.store.details.fetch_quantiles(
                query,
                found.closed,
                dict(results[first : first + QUANTILES_AT_ONCE]),
                asked_at=found.asked_at,
            )

    def values(self, sort: str) -> list[SortValue]:
        """What every orchestrator is sorted by, in the order of the standings."""
        if sort == "orchestrator":
            return list(self.of.names)
        if sort in PERCENTILES:
            found = (self._round_trips[name][PERCENTILES.index(sort)] for name in self.of.names)
            return [None if math.isnan(each) else each for each in found]
        values = with_none(_SORT_VALUES[sort](self))
        return values + [None] * (len(self.of.owner) - len(values))

    def standings(self, names: Sequence[str]) -> list[Standing]:
        """The rows of some orchestrators, whose quantiles were fetched."""
        positions = [self._position[name] for name in names]
        of = self.of
        columns = {
            "round_trip": [_round_trips(self._round_trips[name]) for name in names],
            "results": of.results[positions].tolist(),
            "unscored": of.unscored[positions].tolist(),
            "last_tested_at": map(from_pg_time, of.last[positions].tolist()),
            "errors": of.error_codes(positions),
            "sparkline": with_none(lines_of(self._buckets, of.columns, of.owner[positions])),
        }
        scored = [at for at in positions if at < of.ranked]
        scores = dict(zip(scored, self._scores(np.array(scored, np.int64)), strict=True))
        return [
            Standing(
                orchestrator=name,
                name=self._called.get(name, ""),
                **dict(zip(columns, row, strict=True)),
                **scores.get(at, {}),
            )
            for at, name, row in zip(positions, names, zip(*columns.values(), strict=True), strict=True)
        ]

    def _scores(self, at: Indices) -> list[dict[str, Any]]:
        """The members that an orchestrator without scores does not have."""
        of, ranks, estimates = self.of, self.ranks, self.of.estimates.select(at)
        is_transcoding = self._job_type is JobType.TRANSCODING
        columns = {
            "rank": ranks.rank[at].tolist(),
            "rank_low": ranks.low[at].tolist(),
            "rank_high": ranks.high[at].tolist(),
            "score": _estimates(estimates.score, estimates.score_low, estimates.score_high),
            "round_trip_score": estimates.round_trip_score.tolist(),
            "success_rate": _estimates(estimates.success_rate, estimates.success_low, estimates.success_high),
            "full_success": _estimates(*(column[at] for column in self.full_success)),
            "real_time_ratio": with_none(of.real_time_ratio[at]) if is_transcoding else [None] * len(at),
            "regions": of.regions[at].tolist(),
            "best": of.region_scores(of.best, at),
            "worst": of.region_scores(of.worst, at),
            "trend": with_none(self.trend[at]),
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _round_trips(quantiles: Sequence[float]) -> RoundTrips | None:
    return None if math.isnan(quantiles[0]) else RoundTrips(*quantiles)


def _estimates(*columns: Doubles) -> list[Estimate]:
    """Estimates from columns: value, low, high."""
    return list(map(Estimate, *(column.tolist() for column in columns)))


def estimate_at(at: int, *columns: Doubles) -> Estimate:
    """Element of columns: value, low, high."""
    return Estimate(*(float(column[at]) for column in columns))


PERCENTILES = ("p50", "p90", "p99")

QUANTILES_AT_ONCE = 1_000
"""Orchestrators whose round trips are read together: bounds the memory."""

_SORT_VALUES: Mapping[str, Callable[[RankingTable], Doubles | Indices]] = {
    "rank": lambda rows: rows.ranks.rank,
    "score": lambda rows: rows.of.estimates.score,
    "success_rate": lambda rows: rows.of.estimates.success_rate,
    "full_success": lambda rows: rows.full_success[0],
    "round_trip_score": lambda rows: rows.of.estimates.round_trip_score,
    "real_time_ratio": lambda rows: rows.of.real_time_ratio,
    "results": lambda rows: rows.of.results,
    "unscored": lambda rows: rows.of.unscored,
    "regions": lambda rows: rows.of.regions,
    "best": lambda rows: rows.of.best.score,
    "worst": lambda rows: rows.of.worst.score,
    "last_tested": lambda rows: rows.of.last,
    "trend": lambda rows: rows.trend,
}
