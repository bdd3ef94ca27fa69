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
from orchboard.analytics.scope import WINDOWS, WindowRequest, envelope_of
from orchboard.analytics.sparkline import edges_of, fetch_scores, lines_of
from orchboard.analytics.standings import Standings
from orchboard.leaderboard import Leaderboard
from orchboard.reports.leaderboard import Estimate, Ranking, RegionScore, RoundTrips, Standing
from orchboard.scoring import Doubles
from orchboard.stats import JobType, SeriesQuery, Window
from orchboard.store.details.details import Details, Needs
from orchboard.store.postgres.clock import MICROSECOND, from_pg_time
from orchboard.store.rollups.group_index import Indices
from orchboard.window import EARLIEST


async def leaderboard(board: Leaderboard, query: RankingQuery) -> Ranking:
    """One page of the leaderboard."""
    asked = query.scope
    window = asked.window.resolve(board) if query.page is None else query.page.window
    whole = replace(asked.query, orchestrators=None)
    found = await fetch_standings_input(board, whole, asked.window, window)
    standings = Standings(
        found.details,
        found.job_type,
        any_name=board.scores_any_name,
        min_results=query.min_results,
    )
    called = await board.store.names.current()
    rows = RankingTable(standings, found.scores, called)
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
        **envelope_of(asked.window, window, found.now, found.details),
        job_type=found.job_type,
        ranked=standings.ranked,
        matches=len(ordered),
        buckets=found.buckets,
        orchestrators=rows.standings(page),
        next_cursor=next_cursor,
    )


class StandingsInput(Struct, frozen=True):
    """What was fetched for standings.

    asked_at -- time.monotonic: what was stored before is included
    details -- of the window
    closed -- the window with a fixed end
    buckets -- starts of the buckets of the sparklines
    scores -- in the window before, None without one; and in each bucket
    """

    asked_at: float
    now: datetime
    job_type: JobType
    details: Details
    closed: Window
    buckets: list[datetime]
    scores: tuple[OwnerScores | None, list[OwnerScores]]


async def fetch_standings_input(
    board: Leaderboard, query: SeriesQuery, request: WindowRequest, window: Window
) -> StandingsInput:
    """The details of a window, and the scores in its buckets and in the window before."""
    asked_at, now, job_type = time.monotonic(), board.now(), query.job_type or JobType.TRANSCODING
    needs = Needs(medians=True, errors=True)
    details = await board.store.details.fetch(query, window, needs, asked_at=asked_at)
    last = from_pg_time(int(details.sums.last.max())) if len(details.sums.last) else now
    closed = Window(window.since, min(window.until, max(now, last)))
    since = closed.since
    if since <= EARLIEST:
        since = from_pg_time(int(details.sums.first.min())) if len(details.sums.first) else closed.until
    edges = edges_of(since, closed.until + MICROSECOND) if since <= closed.until else [since]
    before = _before(request, closed)
    scores: list[OwnerScores] = []
    if len(edges) > 1:
        starts = [] if before is None else [before]
        scores = await fetch_scores(board, query, job_type, [*starts, *edges], asked_at=asked_at)
    split = int(before is not None and bool(scores))
    return StandingsInput(
        asked_at, now, job_type, details, closed, edges[:-1], (scores[0] if split else None, scores[split:])
    )


def _before(request: WindowRequest, window: Window) -> datetime | None:
    """The start of the window before, which is as long; None without one."""
    length = WINDOWS[request.name].length if request.name else None
    length = length or window.until - window.since
    if length <= timedelta(0) or window.since - EARLIEST <= length:
        return None
    return window.since - length


class RankingTable:
    """The rows of the leaderboard."""

    def __init__(
        self,
        standings: Standings,
        scores: tuple[OwnerScores | None, list[OwnerScores]],
        called: Mapping[str, str],
    ) -> None:
        """called -- the names that the operator gave, by address"""
        self.of = standings
        self._called = called
        before, self._buckets = scores
        self._position = {name: at for at, name in enumerate(standings.names)}
        lines = lines_of([before] if before else [], standings.columns, standings.orchestrators)
        was = np.array([(line or [None])[0] for line in lines], float)
        self.trend: Doubles = standings.estimates.score - was[: standings.ranked]
        self._round_trips: dict[str, list[float]] = {}

    async def fetch_round_trips(
        self, board: Leaderboard, query: SeriesQuery, found: StandingsInput, names: Sequence[str]
    ) -> None:
        """Fetch the quantiles of some orchestrators, unless they are known."""
        missing = {
            name: int(self.of.results[self._position[name]])
            for name in names
            if name not in self._round_trips
        }
        self._round_trips |= await board.store.details.fetch_quantiles(
            query, found.closed, missing, asked_at=found.asked_at
        )

    def values(self, sort: str) -> list[SortValue]:
        """What every orchestrator is sorted by, in the order of the standings."""
        if sort == "orchestrator":
            return list(self.of.names)
        if sort in PERCENTILES:
            found = (self._round_trips[name][PERCENTILES.index(sort)] for name in self.of.names)
            return [None if math.isnan(each) else each for each in found]
        values = with_none(_SORT_VALUES[sort](self))
        return values + [None] * (len(self.of.orchestrators) - len(values))

    def standings(self, names: Sequence[str]) -> list[Standing]:
        """The rows of some orchestrators, whose quantiles were fetched."""
        positions = [self._position[name] for name in names]
        of = self.of
        columns = {
            "round_trip": [_round_trips(self._round_trips[name]) for name in names],
            "results": of.results[positions].tolist(),
            "unscored": of.unscored[positions].tolist(),
            "last_tested_at": map(from_pg_time, of.last[positions].tolist()),
            "errors": of.errors(positions),
            "sparkline": lines_of(self._buckets, of.columns, of.orchestrators[positions]),
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
        of, ranks, estimates = self.of, self.of.ranks, self.of.estimates.select(at)
        is_transcoding = of.job_type is JobType.TRANSCODING
        columns = {
            "rank": ranks.rank[at].tolist(),
            "rank_low": ranks.low[at].tolist(),
            "rank_high": ranks.high[at].tolist(),
            "score": _estimates(estimates.score, estimates.score_low, estimates.score_high),
            "round_trip_score": estimates.round_trip_score.tolist(),
            "success_rate": _estimates(estimates.success_rate, estimates.success_low, estimates.success_high),
            "full_success": _estimates(*(column[at] for column in of.full_success)),
            "real_time_ratio": with_none(of.real_time_ratio[at]) if is_transcoding else [None] * len(at),
            "regions": of.regions[at].tolist(),
            "best": self._region_scores(of.best[at]),
            "worst": self._region_scores(of.worst[at]),
            "trend": with_none(self.trend[at]),
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _region_scores(self, pairs: Indices) -> list[RegionScore]:
        return list(map(RegionScore, self.of.regions_of(pairs), self.of.pair_score[pairs].tolist()))


def _round_trips(quantiles: Sequence[float]) -> RoundTrips | None:
    return None if math.isnan(quantiles[0]) else RoundTrips(*quantiles)


def _estimates(*columns: Doubles) -> list[Estimate]:
    """Estimates from columns: value, low, high."""
    return list(map(Estimate, *(column.tolist() for column in columns)))


def estimate_at(at: int, *columns: Doubles) -> Estimate:
    """Element of columns: value, low, high."""
    return Estimate(*(float(column[at]) for column in columns))


PERCENTILES = ("p50", "p90", "p99")

_SORT_VALUES: Mapping[str, Callable[[RankingTable], Doubles | Indices]] = {
    "rank": lambda rows: rows.of.ranks.rank,
    "score": lambda rows: rows.of.estimates.score,
    "success_rate": lambda rows: rows.of.estimates.success_rate,
    "full_success": lambda rows: rows.of.full_success[0],
    "round_trip_score": lambda rows: rows.of.estimates.round_trip_score,
    "real_time_ratio": lambda rows: rows.of.real_time_ratio,
    "results": lambda rows: rows.of.results,
    "unscored": lambda rows: rows.of.unscored,
    "regions": lambda rows: rows.of.regions,
    "best": lambda rows: rows.of.pair_score[rows.of.best],
    "worst": lambda rows: rows.of.pair_score[rows.of.worst],
    "last_tested": lambda rows: rows.of.last,
    "trend": lambda rows: rows.trend,
}
