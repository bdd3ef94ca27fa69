"""Groups: the scored results of one job type by orchestrator, region, pipeline and model, as means and moments."""

import numpy as np
from msgspec import Struct

from orchboard.analytics.estimates import GroupStatistics, Total, by_run
from orchboard.analytics.series_columns import JOB_TYPES, SeriesColumns, columns_of, present
from orchboard.scoring import Doubles
from orchboard.stats import JobType
from orchboard.store.details.details import Details
from orchboard.store.details.sums import MOMENTS, SeriesSums
from orchboard.store.rollups.group_index import Indices


class Groups(Struct, frozen=True):
    """Groups with scored results.

    columns -- has the names
    cell -- of each group, in `columns`, ascending; shape (groups,)
    statistics -- of each group
    """

    columns: SeriesColumns
    cell: Indices
    statistics: GroupStatistics


def group(details: Details, job_type: JobType, *, any_name: bool, moments: bool = True) -> Groups:
    """The groups of one job type.

    any_name -- whether also of orchestrators without an Ethereum address
    moments -- False: leave the moments at 0
    """
    columns, sums = columns_of(details.index), details.sums
    of_series = columns.group[sums.series]
    is_chosen = (sums.results > 0) & (columns.group_job_type[of_series] == JOB_TYPES.index(job_type))
    if not any_name:
        is_chosen &= columns.has_address[columns.group_orchestrator[of_series]]
    entries = np.flatnonzero(is_chosen)
    number, whose = present(of_series[entries], len(columns.group_cell))
    # Groups in their order; those of several testers have several entries.
    entries, whose = _sorted(entries, whose)
    starts = np.flatnonzero(np.diff(whose, prepend=-1))
    results, means, found = _merge(sums, entries, whose, starts, job_type if moments else None)
    median = np.zeros(len(number))
    if job_type is JobType.AI:
        of_model = np.array([details.medians.get(model, 0.0) for model in columns.models])
        median = of_model[columns.group_model[number]]
    orchestrator = columns.group_orchestrator[number]
    statistics = GroupStatistics(job_type, orchestrator, results, means, found, median)
    return Groups(columns, columns.group_cell[number], statistics)


def _sorted(entries: Indices, whose: Indices) -> tuple[Indices, Indices]:
    if (np.diff(whose) >= 0).all():
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
    """How groups add up: to cells, weighted by results; and those to orchestrators, with equal weights.

    cells, orchestrators -- numbers in the columns, in the order of the groups
    cell_starts -- the first cell of each orchestrator
    total_of_cell, total_of_orchestrator -- add up groups
    in_cell, in_orchestrator -- the weight of each group
    regions -- the number of cells of each orchestrator
    """

    cells: Indices
    orchestrators: Indices
    cell_starts: Indices
    total_of_cell: Total
    total_of_orchestrator: Total
    in_cell: Doubles
    in_orchestrator: Doubles
    regions: Indices


def tree_of(groups: Groups) -> Tree:
    """How the groups add up."""
    results = groups.statistics.results
    is_first = np.diff(groups.cell, prepend=-1) != 0
    starts = np.flatnonzero(is_first)
    cells = groups.cell[starts]
    of_cell = groups.columns.cell_orchestrator[cells]
    cell_starts = np.flatnonzero(np.diff(of_cell, prepend=-1))
    regions = np.diff(cell_starts, append=len(cells))
    position = np.cumsum(is_first) - 1
    total = by_run(starts)
    in_cell = results / total(results)[position]
    return Tree(
        cells,
        of_cell[cell_starts],
        cell_starts,
        total,
        by_run(starts[cell_starts]),
        in_cell,
        in_cell / np.repeat(regions, regions)[position],
        regions,
    )
