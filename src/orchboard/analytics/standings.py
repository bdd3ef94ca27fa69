"""Standings: the numbers of every orchestrator in one window, as columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from orchboard.analytics.estimates import Estimates, Sensitivity, estimate
from orchboard.analytics.group_columns import GroupColumns, columns_of
from orchboard.analytics.groups import Points, Tree, group, tree_of
from orchboard.analytics.intervals import wilson
from orchboard.analytics.ranking import Ranks, comparable, rank
from orchboard.analytics.scope import Extent
from orchboard.reports.leaderboard import CodeCount, RegionScore
from orchboard.scoring import Doubles
from orchboard.stats import JobType
from orchboard.store.details.details import Details
from orchboard.store.details.error_sums import ErrorSums, add_up_errors
from orchboard.store.details.sums import SeriesSums
from orchboard.store.rollups.group_index import Indices, mask

MAX_CODES = 20


class ExtremeRegions(Struct, frozen=True):
    """A region of each of some orchestrators, and the score in it. region -- number in `GroupColumns.regions`"""

    region: Indices
    score: Doubles


class Standings(Struct, frozen=True):
    """The numbers of the orchestrators with results in a window, of some or of all. Arrays of shape (orchestrators,): those with scores, then
    those with unscored results only; those of scores are shorter: shape (ranked,).

    columns -- has the names
    extent -- of all results, also of those that get no scores
    owner -- number in `columns`
    results, unscored, successes, last -- totals; `last` in microseconds since 2000
    real_time_ratio -- NaN without round trips
    errors -- of which `series` is the number of the orchestrator in `columns`
    estimates -- of the scores; regions -- the number of those with scored results; best, worst -- of these
    """

    columns: GroupColumns
    extent: Extent
    owner: Indices
    results: Indices
    unscored: Indices
    successes: Indices
    last: Indices
    real_time_ratio: Doubles
    errors: ErrorSums
    estimates: Estimates
    regions: Indices
    best: ExtremeRegions
    worst: ExtremeRegions

    @property
    def ranked(self) -> int:
        """The number of orchestrators with scores."""
        return len(self.regions)

    @property
    def names(self) -> list[str]:
        """The names of the orchestrators."""
        return [self.columns.owners[each] for each in self.owner.tolist()]

    @property
    def size(self) -> int:
        """Bytes in memory, approximately."""
        arrays = (getattr(self, name) for name in (*_TOTALS, "regions"))
        of_scores = [
            getattr(each, name)
            for each in (self.estimates, self.best, self.worst)
            for name in each.__struct_fields__
        ]
        return sum(int(each.nbytes) for each in (*arrays, *of_scores)) + self.errors.size

    def ranks(self) -> Ranks:
        """The ranks of those with scores."""
        return rank(self.estimates.score, self.estimates.score_low, self.estimates.score_high)

    def full_success(self) -> tuple[Doubles, Doubles, Doubles]:
        """The share of scored results that succeeded fully, and the ends of its interval; of those with scores."""
        scored = self.results[: self.ranked]
        share = self.successes[: self.ranked] / scored
        return share, *wilson(share, scored)

    def select(self, chosen: Indices) -> "Standings":
        """Some orchestrators, given by position, ascending."""
        scored = chosen[chosen < self.ranked]
        return replace(
            self,
            **{name: getattr(self, name)[chosen] for name in _TOTALS},
            estimates=self.estimates.select(scored),
            regions=self.regions[scored],
            best=_select(self.best, scored),
            worst=_select(self.worst, scored),
        )

    def region_scores(self, of: ExtremeRegions, at: Indices) -> list[RegionScore]:
        """`best` or `worst` of some orchestrators."""
        codes = [self.columns.regions[number] for number in of.region[at].tolist()]
        return list(map(RegionScore, codes, of.score[at].tolist()))

    def error_codes(self, positions: Sequence[int]) -> list[list[CodeCount]]:
        """The most frequent error codes of some orchestrators, given by position."""
        at = np.full(len(self.columns.owners), -1)
        at[self.owner[list(positions)]] = np.arange(len(positions))
        errors = self.errors.select(at[self.errors.series] >= 0)
        found: list[list[CodeCount]] = [[] for _ in positions]
        members = at[errors.series], errors.code, errors.results, errors.count
        for position, *code in zip(*(column.tolist() for column in members), strict=True):
            found[position].append(CodeCount(*code))
        return [sorted(codes, key=lambda each: (-each.results, each.code))[:MAX_CODES] for codes in found]


_TOTALS = ("owner", "results", "unscored", "successes", "last", "real_time_ratio")


def standings_of(details: Details, job_type: JobType, *, any_name: bool) -> Standings:
    """The standings of the orchestrators of some details."""
    columns, sums = columns_of(details.index), details.sums
    owner = columns.owner(sums.series)
    groups = group(Points.of(details), job_type, any_name=any_name)
    tree = tree_of(groups)
    totals = _totals(columns, sums, owner, any_name=any_name)
    position = np.zeros(len(columns.owners), np.int64)
    position[tree.owners] = np.arange(len(tree.owners))
    own = position[totals["owner"][totals["results"] > 0]]
    sensitivity = Sensitivity(groups.statistics)
    score = tree.total_of_pair(tree.in_pair * sensitivity.scores.score)
    region = columns.pair_region[tree.pairs].astype(np.int64)
    best, worst = (_extremes(columns, tree, region, score, sign)[own] for sign in (-1, 1))
    errors = add_up_errors([replace(sums.errors, series=columns.owner(sums.errors.series))])
    return Standings(
        columns,
        Extent.of(details),
        **totals,
        errors=errors,
        estimates=estimate(sensitivity, tree.in_owner, tree.total_of_owner).select(own),
        regions=tree.regions[own],
        best=ExtremeRegions(region[best], score[best]),
        worst=ExtremeRegions(region[worst], score[worst]),
    )


def _totals(columns: GroupColumns, sums: SeriesSums, owner: Indices, *, any_name: bool) -> dict[str, Any]:
    """The columns of `_TOTALS`. owner -- of each entry"""
    size = len(columns.owners)

    def total(values: Indices) -> Indices:
        return np.bincount(owner, values, size).astype(np.int64)

    results, unscored = total(sums.results), total(sums.unscored)
    is_listed = results + unscored > 0
    if not any_name:
        is_listed &= mask(owner[columns.has_address(sums.series)], size)
    order = np.flatnonzero(is_listed)
    listed = order[np.argsort(results[order] == 0, kind="stable")]
    last = np.full(size, np.iinfo(np.int64).min)
    np.maximum.at(last, owner, sums.last)
    video, took = (
        np.bincount(owner, sums.measure(name), size)[listed] for name in ("seg_duration", "round_trip_time")
    )
    with np.errstate(over="ignore"):  # testers send any number
        ratio = np.divide(video, took, out=np.full(len(took), np.nan), where=took > 0)
    return {
        "owner": listed,
        "results": results[listed],
        "unscored": unscored[listed],
        "successes": total(sums.successes)[listed],
        "last": last[listed],
        "real_time_ratio": np.where(np.isfinite(ratio), ratio, np.nan),
    }


def _extremes(columns: GroupColumns, tree: Tree, region: Indices, score: Doubles, sign: int) -> Indices:
    """The pair with the lowest score times `sign` of each orchestrator of a tree; of equal ones the first by region."""
    if not len(region):
        return region
    alphabetical = np.argsort(np.argsort(np.array(columns.regions, dtype=np.str_)))
    compared = np.nan_to_num(comparable(sign * score), nan=np.inf, posinf=np.inf, neginf=-np.inf)
    is_lowest = compared == np.repeat(np.minimum.reduceat(compared, tree.pair_starts), tree.regions)
    rank = np.where(is_lowest, alphabetical[region], len(alphabetical))
    first: Indices = np.flatnonzero(
        rank == np.repeat(np.minimum.reduceat(rank, tree.pair_starts), tree.regions)
    )
    return first


def join_standings(parts: Sequence[Standings]) -> Standings:
    """The standings of all orchestrators of some parts, of which each has others. parts -- at least one, with equal columns"""
    if len(parts) == 1:
        return parts[0]
    results = np.concatenate([part.results for part in parts])
    order = np.argsort(results == 0, kind="stable")
    return Standings(
        parts[0].columns,
        Extent.joined([part.extent for part in parts]),
        **{name: np.concatenate([getattr(part, name) for part in parts])[order] for name in _TOTALS},
        errors=add_up_errors([part.errors for part in parts]),
        estimates=_join([part.estimates for part in parts]),
        regions=np.concatenate([part.regions for part in parts]),
        best=_join([part.best for part in parts]),
        worst=_join([part.worst for part in parts]),
    )


def _select(of: ExtremeRegions, at: Indices) -> ExtremeRegions:
    return ExtremeRegions(of.region[at], of.score[at])


def _join(parts: Sequence[Any]) -> Any:
    """Structs of arrays as one."""
    names = parts[0].__struct_fields__
    return type(parts[0])(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
