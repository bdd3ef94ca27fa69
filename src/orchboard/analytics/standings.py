"""Standings: the numbers of every orchestrator in one window, as arrays."""

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from orchboard.analytics.estimates import Estimates, Sensitivity, estimate
from orchboard.analytics.group_columns import columns_of
from orchboard.analytics.groups import Points, Tree, group, tree_of
from orchboard.analytics.intervals import wilson
from orchboard.analytics.ranking import Ranks, comparable, rank
from orchboard.reports.leaderboard import CodeCount
from orchboard.scoring import Doubles
from orchboard.stats import JobType
from orchboard.store.details.details import Details
from orchboard.store.details.error_sums import add_up_errors
from orchboard.store.rollups.group_index import Indices, mask

MAX_CODES = 20


class Standings:
    """The numbers of the orchestrators with results in a window.

    orchestrators -- numbers in the GroupColumns: those with scores, then those with unscored results only; arrays are in this
        order, shape (orchestrators,), and those of scores are shorter: shape (ranked,)
    results, unscored, successes, last -- totals; `last` in microseconds since 2000
    real_time_ratio -- NaN without round trips
    estimates -- of the scores; full_success -- the share and the ends of its interval
    best, worst -- positions in `tree.pairs`
    """

    def __init__(self, details: Details, job_type: JobType, *, any_name: bool, min_results: int = 0) -> None:
        """min_results -- leave out orchestrators with fewer scored results"""
        self.columns = columns_of(details.index)
        self.job_type = job_type
        self._sums = details.sums
        self._of_entry = self.columns.owner[details.sums.series]
        groups = group(Points.of(details), job_type, any_name=any_name)
        self.tree = tree_of(groups)
        self.sensitivity = Sensitivity(groups.statistics)
        self._total(any_name, min_results)
        self._score()

    @property
    def ranked(self) -> int:
        """The number of orchestrators with scores."""
        return len(self.ranks.rank)

    @property
    def names(self) -> list[str]:
        """The names of the orchestrators."""
        return [self.columns.owners[each] for each in self.orchestrators.tolist()]

    def _total(self, any_name: bool, min_results: int) -> None:
        size, sums = len(self.columns.owners), self._sums
        total = np.bincount(self._of_entry, sums.results, size).astype(np.int64)
        unscored = np.bincount(self._of_entry, sums.unscored, size).astype(np.int64)
        is_listed = (total + unscored > 0) & (total >= min_results)
        if not any_name:
            is_listed &= mask(self.columns.owner[self.columns.has_address], size)
        order = np.flatnonzero(is_listed)
        self.orchestrators = order[np.argsort(total[order] == 0, kind="stable")]
        self.results, self.unscored = total[self.orchestrators], unscored[self.orchestrators]
        self.successes = np.bincount(self._of_entry, sums.successes, size)[self.orchestrators].astype(
            np.int64
        )
        last = np.full(size, np.iinfo(np.int64).min)
        np.maximum.at(last, self._of_entry, sums.last)
        self.last = last[self.orchestrators]
        video, took = (
            np.bincount(self._of_entry, sums.measure(name), size)[self.orchestrators]
            for name in ("seg_duration", "round_trip_time")
        )
        with np.errstate(over="ignore"):  # testers send any number
            ratio = np.divide(video, took, out=np.full(len(took), np.nan), where=took > 0)
        self.real_time_ratio = np.where(np.isfinite(ratio), ratio, np.nan)

    def _score(self) -> None:
        tree = self.tree
        position = np.zeros(len(self.columns.owners), np.int64)
        position[tree.owners] = np.arange(len(tree.owners))
        own = position[self.orchestrators[self.results > 0]]
        estimates = estimate(self.sensitivity, tree.in_owner, tree.total_of_owner)
        self.estimates = estimates.select(own)
        self.regions = tree.regions[own]
        self.ranks: Ranks = rank(self.estimates.score, self.estimates.score_low, self.estimates.score_high)
        scored = len(own)
        share = self.successes[:scored] / self.results[:scored]
        self.full_success = (share, *wilson(share, self.results[:scored]))
        self.pair_score = pair_score = tree.total_of_pair(tree.in_pair * self.sensitivity.scores.score)
        self.best, self.worst = (
            _first_pairs(tree, each, self._region_order())[own] for each in (-pair_score, pair_score)
        )

    def _region_order(self) -> Indices:
        """The alphabetical position of the region of each pair of the tree."""
        position = np.argsort(np.argsort(np.array(self.columns.regions, dtype=np.str_)))
        order: Indices = position[self.columns.pair_region[self.tree.pairs]]
        return order

    def regions_of(self, pairs: Indices) -> list[str]:
        """The region of each of some pairs of the tree."""
        numbers = self.columns.pair_region[self.tree.pairs[pairs]]
        return [self.columns.regions[number] for number in numbers.tolist()]

    def pair_estimates(self) -> Estimates:
        """The numbers of each pair of the tree."""
        return estimate(self.sensitivity, self.tree.in_pair, self.tree.total_of_pair)

    def pair_results(self) -> Doubles:
        """The number of scored results in each pair of the tree."""
        return self.tree.total_of_pair(self.sensitivity.groups.results)

    def pair_names(self) -> list[tuple[str, str]]:
        """Orchestrator and region of each pair of the tree."""
        columns, pairs = self.columns, self.tree.pairs
        owners, regions = columns.pair_owner[pairs].tolist(), columns.pair_region[pairs].tolist()
        return [
            (columns.owners[owner], columns.regions[region])
            for owner, region in zip(owners, regions, strict=True)
        ]

    def _owners(self, positions: Sequence[int]) -> Indices:
        """The index in `positions` of each orchestrator number; -1 for others."""
        owner = np.full(len(self.columns.owners), -1)
        owner[self.orchestrators[list(positions)]] = np.arange(len(positions))
        return owner

    def errors(self, positions: Sequence[int]) -> list[list[CodeCount]]:
        """The most frequent error codes of some orchestrators, given by position."""
        owners = self._owners(positions)[self.columns.owner[self._sums.errors.series]]
        by_code = add_up_errors([replace(self._sums.errors, series=owners).select(owners >= 0)])
        found: list[list[CodeCount]] = [[] for _ in positions]
        columns = (
            by_code.series.tolist(),
            by_code.code.tolist(),
            by_code.results.tolist(),
            by_code.count.tolist(),
        )
        for owner, code, results, count in zip(*columns, strict=True):
            found[owner].append(CodeCount(code, results, count))
        return [sorted(codes, key=lambda each: (-each.results, each.code))[:MAX_CODES] for codes in found]


def _first_pairs(tree: Tree, score: Doubles, region: Indices) -> Indices:
    """The pair with the lowest number of each orchestrator of a tree; of equal ones the first by region."""
    of_pair = np.repeat(np.arange(len(tree.regions)), tree.regions)
    first: Indices = np.lexsort((region, comparable(score), of_pair))[tree.pair_starts]
    return first
