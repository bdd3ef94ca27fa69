"""Groups: the scored results of one job type by orchestrator, region, pipeline and model, as means and covariances."""

import numpy as np
from msgspec import Struct

from orchboard.analytics.estimates import GroupStatistics, totals
from orchboard.analytics.series_columns import JOB_TYPES, SeriesColumns, columns_of, present
from orchboard.scoring import Doubles
from orchboard.stats import JobType
from orchboard.store.details.reader import Details
from orchboard.store.details.sums import MOMENTS
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.group_index import Indices


class Groups(Struct, frozen=True):
    """Groups with scored results.

    columns -- has the names
    number -- of each group in `columns`, ascending; its means and covariances are at the same position of `statistics`
    """

    columns: SeriesColumns
    number: Indices
    statistics: GroupStatistics

    @property
    def cell(self) -> Indices:
        """The cell of each group."""
        return self.columns.group_cell[self.number]


def group(details: Details, job_type: JobType, *, any_name: bool, moments: bool = True) -> Groups:
    """The groups of one job type.

    any_name -- whether also of orchestrators without an Ethereum address
    moments -- False: leave the covariances at 0
    """
    columns, sums = columns_of(details.index), details.sums
    of_series = columns.group[sums.series]
    is_chosen = (sums.results > 0) & (columns.group_job_type[of_series] == JOB_TYPES.index(job_type))
    if not any_name:
        is_chosen &= columns.has_address[columns.cell_orchestrator[columns.group_cell[of_series]]]
    entries = np.flatnonzero(is_chosen)
    number, whose = present(of_series[entries], len(columns.group_cell))
    size = len(number)
    weights = sums.results[entries].astype(float)
    results = totals(weights, whose, size)
    means = _by_group(sums.sums[:, entries], whose, size) / results
    covariances = np.zeros((len(MEASURES), len(MEASURES), size))
    if moments:
        distances = sums.sums[:, entries] / weights - means[:, whose]
        for row, (one, other) in enumerate(MOMENTS):
            added = sums.moments[row, entries] + weights * distances[one] * distances[other]
            covariance = totals(added, whose, size) / np.maximum(results - 1, 1)
            covariances[one, other] = covariances[other, one] = covariance
    median = np.zeros(size)
    if job_type is JobType.AI:
        of_model = np.array([details.medians.get(model, 0.0) for model in columns.models])
        median = of_model[columns.group_model[number]]
    owner = columns.cell_orchestrator[columns.group_cell[number]]
    statistics = GroupStatistics(job_type, owner, results, means, covariances, median)
    return Groups(columns, number, statistics)


def _by_group(values: Doubles, whose: Indices, size: int) -> Doubles:
    return np.array([totals(row, whose, size) for row in values])


class Tree(Struct, frozen=True):
    """How groups add up: to cells, weighted by results; and those to orchestrators, with equal weights.

    cells -- numbers in the columns; of_group -- the position in them of each group
    orchestrators -- numbers in the columns; of_cell -- the position in them of each cell
    in_cell, in_orchestrator -- the weight of each group
    regions -- the number of cells of each orchestrator
    """

    cells: Indices
    of_group: Indices
    orchestrators: Indices
    of_cell: Indices
    in_cell: Doubles
    in_orchestrator: Doubles
    regions: Indices


def tree_of(groups: Groups) -> Tree:
    """How the groups add up."""
    columns = groups.columns
    cells, of_group = present(groups.cell, len(columns.cell_orchestrator))
    orchestrators, of_cell = present(columns.cell_orchestrator[cells], len(columns.orchestrators))
    results = groups.statistics.results
    in_cell = results / np.bincount(of_group, results, len(cells))[of_group]
    regions = np.bincount(of_cell, minlength=len(orchestrators))
    in_orchestrator = in_cell / regions[of_cell[of_group]]
    return Tree(cells, of_group, orchestrators, of_cell, in_cell, in_orchestrator, regions)
