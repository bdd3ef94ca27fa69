"""Groups: the scored results of one job type by orchestrator, region, pipeline and model, as means and covariances."""

import numpy as np
from msgspec import Struct

from orchboard.analytics.series_columns import JOB_TYPES, SeriesColumns, columns_of, present
from orchboard.scoring import Doubles
from orchboard.stats import JobType
from orchboard.store.details.reader import Details
from orchboard.store.details.sums import MOMENTS
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.group_index import Indices


class Groups(Struct, frozen=True):
    """Scored results by orchestrator, region, pipeline and model; each group has results. Arrays of shape (groups,).

    columns -- has the names
    number -- of each group in `columns`
    results -- their number
    means -- of the measures, shape (measures, groups)
    covariances -- of the measures, divided by results - 1, shape (measures, measures, groups); 0 for one result
    median -- of the model's round trips, in seconds; 0 without one, and for transcoding
    """

    job_type: JobType
    columns: SeriesColumns
    number: Indices
    results: Doubles
    means: Doubles
    covariances: Doubles
    median: Doubles

    @property
    def cell(self) -> Indices:
        """The cell of each group."""
        return self.columns.group_cell[self.number]

    @property
    def orchestrator(self) -> Indices:
        """The orchestrator of each group."""
        return self.columns.cell_orchestrator[self.cell]


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
    results = np.bincount(whose, weights, size)
    means = _by_group(sums.sums[:, entries], whose, size) / results
    covariances = np.zeros((len(MEASURES), len(MEASURES), size))
    if moments:
        distances = sums.sums[:, entries] / weights - means[:, whose]
        for row, (one, other) in enumerate(MOMENTS):
            added = sums.moments[row, entries] + weights * distances[one] * distances[other]
            covariance = np.bincount(whose, added, size) / np.maximum(results - 1, 1)
            covariances[one, other] = covariances[other, one] = covariance
    median = np.zeros(size)
    if job_type is JobType.AI:
        of_model = np.array([details.medians.get(model, 0.0) for model in columns.models])
        median = of_model[columns.group_model[number]]
    return Groups(job_type, columns, number, results, means, covariances, median)


def _by_group(values: Doubles, whose: Indices, size: int) -> Doubles:
    return np.array([np.bincount(whose, row, size) for row in values])


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
    in_cell = groups.results / np.bincount(of_group, groups.results, len(cells))[of_group]
    regions = np.bincount(of_cell, minlength=len(orchestrators))
    in_orchestrator = in_cell / regions[of_cell[of_group]]
    return Tree(cells, of_group, orchestrators, of_cell, in_cell, in_orchestrator, regions)
