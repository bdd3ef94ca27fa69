"""Groups: the scored results of one job type by owner, region, pipeline and model, as means and moments; how they add up."""

from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct

from orchboard.analytics.estimates import GroupStatistics, Total, by_run
from orchboard.analytics.group_columns import JOB_TYPES, GroupColumns, Owner, columns_of
from orchboard.scoring import Doubles
from orchboard.stats import JobType
from orchboard.store.details.details import Details, Medians
from orchboard.store.details.series_index import SeriesIndex
from orchboard.store.details.series_keys import orchestrator_of
from orchboard.store.details.sums import MOMENTS, SeriesSums, join_sums
from orchboard.store.rollups.group_index import Indices, is_run_start, unique_inverse


class Points(Struct, frozen=True):
    """The details of some buckets, one bucket after the other.

    sums -- of all; each series may be there once in each bucket
    point -- the bucket of each entry, from 0 on, ascending, shape (entries,)
    medians -- of each bucket
    """

    index: SeriesIndex
    sums: SeriesSums
    point: Indices
    medians: Sequence[Medians]

    @classmethod
    def of(cls, *details: Details) -> "Points":
        """From the details of each bucket, at least one, which share an index."""
        point = np.repeat(np.arange(len(details)), [len(each.sums.series) for each in details])
        sums = join_sums([each.sums for each in details])
        return cls(details[0].index, sums, point, [each.medians for each in details])


class Groups(Struct, frozen=True):
    """Groups with scored results, by bucket, then by owner, then by pair; see GroupColumns. Of bucket i, numbers of owners and pairs
    are increased by i times the number of owners or pairs.

    columns -- has the names
    pair, model -- of each group, in `columns`, shape (groups,)
    of_entry -- the position of the group of each entry of the details, shape (entries,); -1: the entry is in none
    statistics -- of each group
    """

    columns: GroupColumns
    pair: Indices
    model: Indices
    of_entry: Indices
    statistics: GroupStatistics


def group(
    points: Points,
    job_type: JobType,
    *,
    any_name: bool,
    owner: Owner = orchestrator_of,
    moments: bool = True,
) -> Groups:
    """The groups of one job type in each bucket.

    any_name -- whether also of orchestrators without an Ethereum address
    owner -- whose scores are computed, see GroupColumns
    moments -- False: leave the moments at 0
    """
    columns, sums = columns_of(points.index, owner), points.sums
    of_series = columns.group[sums.series]
    is_chosen = (sums.results > 0) & (columns.group_job_type[of_series] == JOB_TYPES.index(job_type))
    if not any_name:
        is_chosen &= columns.has_address(sums.series)
    entries = np.flatnonzero(is_chosen)
    groups = len(columns.group_pair)
    number, whose = unique_inverse(
        points.point[entries] * groups + of_series[entries], len(points.medians) * groups
    )
    at_point, number = np.divmod(number, groups) if groups else (number, number)
    of_entry = np.full(len(sums.series), -1)
    of_entry[entries] = whose
    # Groups in their order; those of several testers have several entries.
    entries, whose = _sorted(entries, whose)
    starts = np.flatnonzero(is_run_start(whose))
    results, means, found = _merge(sums, entries, whose, starts, job_type if moments else None)
    model = columns.group_model[number].astype(np.int64)
    median = np.zeros(len(number))
    if job_type is JobType.AI:
        medians = [[own.get(each, 0.0) for each in columns.models] for own in points.medians]
        median = np.array(medians, np.float64)[at_point, model]
    owner_of_group = at_point * len(columns.owners) + columns.group_owner[number].astype(np.int64)
    statistics = GroupStatistics(job_type, owner_of_group, results, means, found, median)
    pair = at_point * len(columns.pair_owner) + columns.group_pair[number].astype(np.int64)
    return Groups(columns, pair, model, of_entry, statistics)


def _sorted(entries: Indices, whose: Indices) -> tuple[Indices, Indices]:
    if (whose[1:] >= whose[:-1]).all():
        return entries, whose
    order = np.argsort(whose, kind="stable")
    return entries[order], whose[order]


def _merge(
    sums: SeriesSums, entries: Indices, whose: Indices, starts: Indices, job_type: JobType | None
) -> tuple[Doubles, Doubles, Doubles]:
    """Results, means and moments of groups. job_type -- its moments are computed; None: no moments"""
    weights = sums.results[entries].astype(float)
    total: Total = by_run(starts) if len(starts) < len(entries) else lambda values: values
    results = total(weights)
    of_entry = [row[entries] for row in sums.sums]
    means = np.array([total(row) for row in of_entry]) / results
    moments = np.zeros((len(MOMENTS), len(starts)))
    for row in _needed_moments(job_type):
        values = sums.moments[row, entries]
        if len(starts) < len(entries):
            one, other = (of_entry[each] / weights - means[each][whose] for each in MOMENTS[row])
            values = values + weights * one * other
        moments[row] = total(values)
    return results, means, moments


def _needed_moments(job_type: JobType | None) -> list[int]:
    """AI scores do not depend on the duration of segments, which is measure 1."""
    if job_type is None:
        return []
    return [row for row, pair in enumerate(MOMENTS) if job_type is JobType.TRANSCODING or 1 not in pair]


class Tree(Struct, frozen=True):
    """How groups add up: to pairs of an owner and a region, weighted by results; and those to owners, with equal weights.

    pairs, owners -- numbers in the columns, in the order of the groups
    pair_of_group -- the position in `pairs` of each group
    pair_starts -- the first pair of each owner
    total_of_pair, total_of_owner -- add up groups
    in_pair, in_owner -- the weight of each group
    regions -- the number of pairs of each owner
    """

    pairs: Indices
    owners: Indices
    pair_of_group: Indices
    pair_starts: Indices
    total_of_pair: Total
    total_of_owner: Total
    in_pair: Doubles
    in_owner: Doubles
    regions: Indices


def tree_of(groups: Groups) -> Tree:
    """How the groups add up."""
    results = groups.statistics.results
    is_first = is_run_start(groups.pair)
    starts = np.flatnonzero(is_first)
    pairs = groups.pair[starts]
    of_pair = groups.statistics.owner[starts]
    pair_starts = np.flatnonzero(is_run_start(of_pair))
    regions = np.diff(pair_starts, append=len(pairs))
    position = np.cumsum(is_first) - 1
    total = by_run(starts)
    in_pair = results / total(results)[position]
    return Tree(
        pairs,
        of_pair[pair_starts],
        position,
        pair_starts,
        total,
        by_run(starts[pair_starts]),
        in_pair,
        in_pair / np.repeat(regions, regions)[position],
        regions,
    )


class OwnerScores(Struct, frozen=True):
    """Scores of owners. Arrays of equal length. owner -- number in `columns`; of bucket i increased as in Groups"""

    columns: GroupColumns
    owner: Indices
    score: Doubles


def score_owners(
    points: Points, job_types: Iterable[JobType], *, any_name: bool, owner: Owner = orchestrator_of
) -> OwnerScores:
    """The score of each owner in each bucket: the mean over its regions in some job types, with equal weights. See `group`."""
    columns = columns_of(points.index, owner)
    number = len(points.medians) * len(columns.owners)
    total, regions = np.zeros(number), np.zeros(number, np.int64)
    present = np.unique(columns.group_job_type[columns.group[points.sums.series]]).tolist()
    for job_type in job_types:
        if JOB_TYPES.index(job_type) not in present:
            continue
        groups = group(points, job_type, any_name=any_name, owner=owner, moments=False)
        tree = tree_of(groups)
        total[tree.owners] += tree.total_of_owner(tree.in_pair * groups.statistics.score().score)
        regions[tree.owners] += tree.regions
    scored = np.flatnonzero(regions)
    return OwnerScores(columns, scored, total[scored] / regions[scored])
