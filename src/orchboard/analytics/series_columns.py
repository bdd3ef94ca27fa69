"""The series of a SeriesIndex as arrays, so that entries are grouped without a loop over them."""

from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from orchboard.stats import JobType, Series, is_address
from orchboard.store.details.series import SeriesIndex
from orchboard.store.rollups.group_index import Cell, Indices, PipelineModel

K = TypeVar("K")

JOB_TYPES = tuple(JobType)


class SeriesColumns:
    """Names of the series of an index, as indices in lists. Grows with the index.

    A cell is an orchestrator in a region; a group is a cell, a job type, a pipeline and a model: the series that differ only in
    the tester.

    group -- of each series, shape (series,)
    group_cell, group_model, group_job_type -- of each group; the last is an index in JOB_TYPES
    cell_orchestrator, cell_region -- of each cell
    has_address -- whether each orchestrator is named by an Ethereum address
    """

    def __init__(self) -> None:
        self.orchestrators: list[str] = []
        self.regions: list[str] = []
        self.models: list[PipelineModel] = []
        self.group = self.group_cell = self.group_model = self.group_job_type = np.zeros(0, np.int64)
        self.cell_orchestrator = self.cell_region = np.zeros(0, np.int64)
        self.has_address = np.zeros(0, np.bool_)
        self._orchestrators: dict[str, int] = {}
        self._regions: dict[str, int] = {}
        self._models: dict[PipelineModel, int] = {}
        self._cells: dict[Cell, int] = {}
        self._groups: dict[Series, int] = {}

    def extend(self, index: SeriesIndex) -> None:
        """Add the series that the index got since."""
        new = [self._add(series) for series in index.all[len(self.group) :]]
        if not new:
            return
        self.group = np.concatenate([self.group, new])
        groups = list(self._groups)
        cells = [(group.orchestrator, group.region) for group in groups]
        self.group_cell = np.array([self._cells[cell] for cell in cells])
        self.group_model = np.array([self._models[group.pipeline, group.model] for group in groups])
        self.group_job_type = np.array([JOB_TYPES.index(group.job_type) for group in groups])
        self.cell_orchestrator = np.array([self._orchestrators[each] for each, _ in self._cells])
        self.cell_region = np.array([self._regions[each] for _, each in self._cells])
        self.has_address = np.array([is_address(each) for each in self.orchestrators], np.bool_)

    def _add(self, series: Series) -> int:
        _index_in(self.orchestrators, self._orchestrators, series.orchestrator)
        _index_in(self.regions, self._regions, series.region)
        _index_in(self.models, self._models, (series.pipeline, series.model))
        self._cells.setdefault((series.orchestrator, series.region), len(self._cells))
        group = Series(
            series.orchestrator, series.region, series.job_type, series.pipeline, series.model, tester=""
        )
        return self._groups.setdefault(group, len(self._groups))


_columns: WeakKeyDictionary[SeriesIndex, SeriesColumns] = WeakKeyDictionary()


def columns_of(index: SeriesIndex) -> SeriesColumns:
    """The columns of an index; computed once for each series."""
    columns = _columns.setdefault(index, SeriesColumns())
    columns.extend(index)
    return columns


def present(numbers: Indices, size: int) -> tuple[Indices, Indices]:
    """The distinct numbers, ascending, and the position in them of each; without sorting.

    size -- above each of them

    >>> [each.tolist() for each in present(np.array([7, 2, 7]), 9)]
    [[2, 7], [1, 0, 1]]
    """
    is_present = np.zeros(size, np.bool_)
    is_present[numbers] = True
    distinct = np.flatnonzero(is_present)
    position = np.empty(size, np.int64)
    position[distinct] = np.arange(len(distinct))
    return distinct, position[numbers]


def _index_in(names: list[K], numbers: dict[K, int], name: K) -> None:
    if numbers.setdefault(name, len(names)) == len(names):
        names.append(name)
