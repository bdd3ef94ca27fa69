"""Standings: the numbers of every orchestrator in one window, as arrays."""

from collections.abc import Sequence

import numpy as np

from orchboard.analytics.estimates import Estimates, Sensitivity, estimate
from orchboard.analytics.groups import Tree, group, tree_of
from orchboard.analytics.intervals import wilson
from orchboard.analytics.ranking import Ranks, comparable, rank
from orchboard.analytics.series_columns import columns_of
from orchboard.reports.leaderboard import CodeCount
from orchboard.scoring import Doubles
from orchboard.stats import JobType
from orchboard.store.details.details import Details
from orchboard.store.details.error_sums import ErrorSum
from orchboard.store.rollups.group_index import Indices

MAX_CODES = 20


class Standings:
    """The numbers of the orchestrators with results in a window.

    orchestrators -- numbers in the SeriesColumns: those with scores, then those with unscored results only; arrays are in this
        order, shape (orchestrators,), and those of scores are shorter: shape (ranked,)
    results, unscored, successes, last -- totals; `last` in microseconds since 2000
    real_time_ratio -- NaN without round trips
    estimates -- of the scores; full_success -- the share and the ends of its interval
    best, worst -- positions in `tree.cells`
    """

    def __init__(self, details: Details, job_type: JobType, *, any_name: bool, min_results: int = 0) -> None:
        """min_results -- leave out orchestrators with fewer scored results"""
        self.columns = columns_of(details.index)
        self.job_type = job_type
        self._sums = details.sums
        self._of_entry = self.columns.group_orchestrator[self.columns.group[details.sums.series]]
        groups = group(details, job_type, any_name=any_name)
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
        return [self.columns.orchestrators[each] for each in self.orchestrators.tolist()]

    def _total(self, any_name: bool, min_results: int) -> None:
        size, sums = len(self.columns.orchestrators), self._sums
        total = np.bincount(self._of_entry, sums.results, size).astype(np.int64)
        unscored = np.bincount(self._of_entry, sums.unscored, size).astype(np.int64)
        is_listed = (total + unscored > 0) & (total >= min_results)
        if not any_name:
            is_listed &= self.columns.has_address
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
        position = np.zeros(len(self.columns.orchestrators), np.int64)
        position[tree.orchestrators] = np.arange(len(tree.orchestrators))
        own = position[self.orchestrators[self.results > 0]]
        estimates = estimate(self.sensitivity, tree.in_orchestrator, tree.total_of_orchestrator)
        self.estimates = estimates.select(own)
        self.regions = tree.regions[own]
        self.ranks: Ranks = rank(self.estimates.score, self.estimates.score_low, self.estimates.score_high)
        scored = len(own)
        share = self.successes[:scored] / self.results[:scored]
        self.full_success = (share, *wilson(share, self.results[:scored]))
        self.cell_score = cell_score = tree.total_of_cell(tree.in_cell * self.sensitivity.scores.score)
        self.best, self.worst = (
            _first_cells(tree, each, self._region_order())[own] for each in (-cell_score, cell_score)
        )

    def _region_order(self) -> Indices:
        """The alphabetical position of the region of each cell of the tree."""
        position = np.argsort(np.argsort(np.array(self.columns.regions, dtype=np.str_)))
        order: Indices = position[self.columns.cell_region[self.tree.cells]]
        return order

    def region_of(self, cell: int) -> str:
        """The region of a cell of the tree."""
        number = int(self.columns.cell_region[self.tree.cells[cell]])
        return self.columns.regions[number]

    def cell_estimates(self) -> Estimates:
        """The numbers of each cell of the tree."""
        return estimate(self.sensitivity, self.tree.in_cell, self.tree.total_of_cell)

    def cell_results(self) -> Doubles:
        """The number of scored results in each cell of the tree."""
        return self.tree.total_of_cell(self.sensitivity.groups.results)

    def cell_names(self) -> list[tuple[str, str]]:
        """Orchestrator and region of each cell of the tree."""
        columns, cells = self.columns, self.tree.cells
        owners, regions = columns.cell_orchestrator[cells].tolist(), columns.cell_region[cells].tolist()
        return [
            (columns.orchestrators[owner], columns.regions[region])
            for owner, region in zip(owners, regions, strict=True)
        ]

    def _owners(self, positions: Sequence[int]) -> Indices:
        """The index in `positions` of each orchestrator number; -1 for others."""
        owner = np.full(len(self.columns.orchestrators), -1)
        owner[self.orchestrators[list(positions)]] = np.arange(len(positions))
        return owner

    def errors(self, positions: Sequence[int]) -> list[list[CodeCount]]:
        """The most frequent error codes of some orchestrators, given by position."""
        found: list[dict[str, tuple[int, int]]] = [{} for _ in positions]
        series = np.array([error.series for error in self._sums.errors], np.int64)
        owners = self._owners(positions)[self.columns.group_orchestrator[self.columns.group[series]]]
        for owner, error in zip(owners.tolist(), self._sums.errors, strict=True):
            if owner >= 0:
                _count(found[owner], error)
        return [_most_frequent(codes) for codes in found]


def _count(codes: dict[str, tuple[int, int]], error: ErrorSum) -> None:
    results, count = codes.get(error.code, (0, 0))
    codes[error.code] = results + error.results, count + error.count


def _most_frequent(codes: dict[str, tuple[int, int]]) -> list[CodeCount]:
    if not codes:
        return []
    found = [CodeCount(code, *numbers) for code, numbers in codes.items()]
    return sorted(found, key=lambda each: (-each.results, each.code))[:MAX_CODES]


def _first_cells(tree: Tree, score: Doubles, region: Indices) -> Indices:
    """The cell with the lowest number of each orchestrator of a tree; of equal ones the first by region."""
    of_cell = np.repeat(np.arange(len(tree.regions)), tree.regions)
    first: Indices = np.lexsort((region, comparable(score), of_cell))[tree.cell_starts]
    return first
