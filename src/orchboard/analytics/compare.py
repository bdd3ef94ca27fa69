"""Orchestrators side by side: their standings, their regions, and whether the differences between them are beyond chance."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from msgspec import structs

from orchboard.analytics.leaderboard import RankingTable, estimate_at, fetch_standings_input
from orchboard.analytics.scope import Scope, envelope_of
from orchboard.analytics.standings import Standings
from orchboard.leaderboard import Leaderboard
from orchboard.reports.compare import Comparison, Difference, RegionComparison, RegionStanding
from orchboard.reports.leaderboard import Estimate, Standing
from orchboard.stats import SeriesQuery
from orchboard.store.details.details import Details


async def compare(board: Leaderboard, scope: Scope, orchestrators: Sequence[str]) -> Comparison:
    """Some orchestrators side by side. Ranks are among all orchestrators.

    scope -- without orchestrators
    """
    window = scope.window.resolve(board)
    found = await fetch_standings_input(board, scope.query, scope.window, window)
    standings = Standings(found.details, found.job_type, any_name=board.scores_any_name)
    known = set(standings.names)
    called = await board.store.names.current()
    rows = RankingTable(standings, found.scores, called)
    names = [name for name in orchestrators if name in known]
    await rows.fetch_round_trips(board, scope.query, found, names)
    by_name = {row.orchestrator: row for row in rows.standings(names)}
    never = [None] * len(found.buckets)
    own = [
        by_name.get(name) or Standing(orchestrator=name, name=called.get(name, ""), sparkline=[*never])
        for name in orchestrators
    ]
    return Comparison(
        **envelope_of(scope.window, window, found.now, _of(found.details, orchestrators)),
        job_type=found.job_type,
        ranked=standings.ranked,
        orchestrators=own,
        regions=_regions(standings, orchestrators),
        differences=[
            difference(one, one.score, other, other.score)
            for one, other in combinations(own, 2)
            if one.score is not None and other.score is not None
        ],
    )


def _of(details: Details, orchestrators: Sequence[str]) -> Details:
    wanted = details.index.mask(SeriesQuery(orchestrators=frozenset(orchestrators)))
    chosen = details.sums.select(np.flatnonzero(wanted[details.sums.series]))
    return structs.replace(details, sums=chosen)


def _regions(standings: Standings, orchestrators: Sequence[str]) -> list[RegionComparison]:
    estimates, results = standings.pair_estimates(), standings.pair_results()
    pairs = {names: pair for pair, names in enumerate(standings.pair_names())}
    regions = sorted({region for orchestrator, region in pairs if orchestrator in set(orchestrators)})

    def at(orchestrator: str, region: str) -> RegionStanding | None:
        pair = pairs.get((orchestrator, region))
        if pair is None:
            return None
        return RegionStanding(
            estimate_at(pair, estimates.score, estimates.score_low, estimates.score_high),
            estimate_at(pair, estimates.success_rate, estimates.success_low, estimates.success_high),
            float(estimates.round_trip_score[pair]),
            int(results[pair]),
        )

    return [RegionComparison(region, [at(name, region) for name in orchestrators]) for region in regions]


def difference(one: Standing, score: Estimate, other: Standing, other_score: Estimate) -> Difference:
    """The interval of a difference from those of its terms, which are independent (MOVER; Zou and Donner, 2008)."""
    value = score.value - other_score.value
    low = value - math.hypot(score.value - score.low, other_score.high - other_score.value)
    high = value + math.hypot(score.high - score.value, other_score.value - other_score.low)
    is_beyond_chance = low > 0 or high < 0
    better = (one if value > 0 else other).orchestrator if is_beyond_chance else None
    # Success rates out of range may lift a score above 1.
    estimate = Estimate(value, min(max(low, -1.0), value), max(min(high, 1.0), value))
    return Difference(one.orchestrator, other.orchestrator, estimate, is_beyond_chance, better)
