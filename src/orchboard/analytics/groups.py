"""Groups: the scored results of one job type by owner, region, pipeline and model, as means and moments; how they add up."""

from collections.abc import Iterable

import numpy as np
from msgspec import Struct

from orchboard.analytics.estimates import GroupStatistics, Total, by_run
from orchboard.analytics.group_columns import JOB_TYPES, GroupColumns, Owner, columns_of
from orchboard.scoring import Doubles
from orchboard.stats import JobType
from orchboard.store.details.details import Details
from orchboard.store.details.series_keys import orchestrator_of
from orchboard.store.details.sums import MOMENTS, SeriesSums
from orchboard.store.rollups.group_index import Indices, is_run_start, unique_inverse


class Groups(Struct, frozen=True):
    """Groups with scored results, by owner, then by pair; see GroupColumns.

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
    details: Details,
    job_type: JobType,
    *,
    any_name: bool,
    owner: Owner = orchestrator_of,
    moments: bool = True,
) -> Groups:
    """The groups of one job type.

    any_name -- whether also of orchestrators without an Ethereum address
    owner -- whose scores are computed, see GroupColumns
    moments -- False: leave the moments at 0
    """
    columns, sums = columns_of(details.index, owner), details.sums
    of_series = columns.group[sums.series]
    is_chosen = (sums.results > 0) & (columns.group_job_type[of_series] == JOB_TYPES.index(job_type))
    if not any_name:
        is_chosen &= columns.has_address[sums.series]
    entries = np.flatnonzero(is_chosen)
    number, whose = unique_inverse(of_series[entries], len(columns.group_pair))
    of_entry = np.full(len(sums.series), -1)
    of_entry[entries] = whose
    # Groups in their order; those of several testers have several entries.
    entries, whose = _sorted(entries, whose)
    starts = np.flatnonzero(is_run_start(whose))
    results, means, found = _merge(sums, entries, whose, starts, job_type if moments else None)
    model = columns.group_model[number]
    median = np.zeros(len(number))
    if job_type is JobType.AI:
        median = np.array([details.medians.get(each, 0.0) for each in columns.models])[model]
    statistics = GroupStatistics(job_type, columns.group_owner[number], results, means, found, median)
    return Groups(columns, columns.group_pair[number], model, of_entry, statistics)


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
    of_pair = groups.columns.pair_owner[pairs]
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
    """Scores of owners. Arrays of equal length. owner -- number in `columns`, ascending"""

    columns: GroupColumns
    owner: Indices
    score: Doubles


def score_owners(
    details: Details, job_types: Iterable[JobType], *, any_name: bool, owner: Owner = orchestrator_of
) -> OwnerScores:
    """The score of each owner: the mean over its regions in some job types, with equal weights. See `group`."""
    columns = columns_of(details.index, owner)
    total, regions = np.zeros(len(columns.owners)), np.zeros(len(columns.owners), np.int64)
    present = np.unique(columns.group_job_type[columns.group[details.sums.series]]).tolist()
    for job_type in job_types:
        if JOB_TYPES.index(job_type) not in present:
            continue
        groups = group(details, job_type, any_name=any_name, owner=owner, moments=False)
        tree = tree_of(groups)
        total[tree.owners] += tree.total_of_owner(tree.in_pair * groups.statistics.score().score)
        regions[tree.owners] += tree.regions
    scored = np.flatnonzero(regions)
    return OwnerScores(columns, scored, total[scored] / regions[scored])
