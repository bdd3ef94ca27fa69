"""Orchestrators side by side: their standings, their regions, and whether the differences between them are beyond chance."""

import math
from collections.abc import Sequence
from itertools import combinations

from msgspec.structs import replace

from orchboard.analytics.estimates import Sensitivity, estimate
from orchboard.analytics.groups import Groups, Points, group, tree_of
from orchboard.analytics.leaderboard import RankingTable, estimate_at, fetch_standings
from orchboard.analytics.scope import Scope, envelope_of
from orchboard.leaderboard import Leaderboard
from orchboard.reports.compare import Comparison, Difference, RegionComparison, RegionStanding
from orchboard.reports.leaderboard import Estimate, Standing
from orchboard.store.details.details import Needs


async def compare(board: Leaderboard, scope: Scope, orchestrators: Sequence[str]) -> Comparison:
    """Some orchestrators side by side. Ranks are among all orchestrators.

    scope -- without orchestrators
    """
    window = scope.window.resolve(board)
    found = await fetch_standings(board, scope.query, scope.window, window)
    standings = found.standings
    known = set(standings.names)
    called = await board.store.names.current()
    rows = RankingTable(standings, found, called)
    names = [name for name in orchestrators if name in known]
    await rows.fetch_round_trips(board, scope.query, found, names)
    by_name = {row.orchestrator: row for row in rows.standings(names)}
    some = replace(scope.query, orchestrators=frozenset(orchestrators))
    details = await board.store.details.fetch(
        some, found.closed, Needs(medians=True), asked_at=found.asked_at
    )
    groups = group(Points.of(details), found.job_type, any_name=board.scores_any_name)
    never = [None] * len(found.buckets)
    own = [
        by_name.get(name) or Standing(orchestrator=name, name=called.get(name, ""), sparkline=[*never])
        for name in orchestrators
    ]
    return Comparison(
        **envelope_of(scope.window, window, found.now, details),
        job_type=found.job_type,
        ranked=standings.ranked,
        orchestrators=own,
        regions=_regions(groups, orchestrators),
        differences=[
            difference(one, one.score, other, other.score)
            for one, other in combinations(own, 2)
            if one.score is not None and other.score is not None
        ],
    )


def _regions(groups: Groups, orchestrators: Sequence[str]) -> list[RegionComparison]:
    """The regions of some orchestrators. groups -- of these"""
    tree = tree_of(groups)
    estimates = estimate(Sensitivity(groups.statistics), tree.in_pair, tree.total_of_pair)
    results = tree.total_of_pair(groups.statistics.results)
    pairs = {names: pair for pair, names in enumerate(groups.columns.names_of(tree.pairs))}
    regions = sorted({region for _, region in pairs})

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
