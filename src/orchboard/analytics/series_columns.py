"""The series of a SeriesIndex as arrays, so that entries are grouped without a loop over them."""

from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from orchboard.stats import JobType, Series, is_address
from orchboard.store.details.series import SeriesIndex
from orchboard.store.rollups.group_index import Indices, PipelineModel

K = TypeVar("K")

JOB_TYPES = tuple(JobType)


class SeriesColumns:
    """Names of the series of an index, as indices in lists. Grows with the index.

    A cell is an orchestrator in a region; a group is a cell, a job type, a pipeline and a model: the series that differ only in
    the tester. Groups are numbered by orchestrator, then by cell. Their numbers, and those of cells, change when it grows; those
    of orchestrators, regions and models do not.

    group -- of each series, shape (series,)
    group_orchestrator, group_cell, group_model, group_job_type -- of each group; the last is an index in JOB_TYPES
    cell_orchestrator, cell_region -- of each cell
    has_address -- whether each orchestrator is named by an Ethereum address
    """

    def __init__(self) -> None:
        self.orchestrators: list[str] = []
        self.regions: list[str] = []
        self.models: list[PipelineModel] = []
        self.group = self.group_orchestrator = self.group_cell = np.zeros(0, np.int64)
        self.group_model = self.group_job_type = np.zeros(0, np.int64)
        self.cell_orchestrator = self.cell_region = np.zeros(0, np.int64)
        self.has_address = np.zeros(0, np.bool_)
        self._orchestrators: dict[str, int] = {}
        self._regions: dict[str, int] = {}
        self._models: dict[PipelineModel, int] = {}
        self._keys = np.zeros((4, 0), np.int64)

    def extend(self, index: SeriesIndex) -> None:
        """Add the series that the index got since."""
        new = [self._key(series) for series in index.all[len(self.group) :]]
        if not new:
            return
        self._keys = np.concatenate([self._keys, np.array(new, np.int64).T], axis=1)
        shape = len(self.orchestrators), len(self.regions), len(JOB_TYPES), len(self.models)
        groups, self.group = np.unique(np.ravel_multi_index(tuple(self._keys), shape), return_inverse=True)
        self.group_orchestrator, region, self.group_job_type, self.group_model = np.unravel_index(
            groups, shape
        )
        is_first = (np.diff(self.group_orchestrator, prepend=-1) != 0) | (np.diff(region, prepend=-1) != 0)
        self.group_cell = np.cumsum(is_first) - 1
        self.cell_orchestrator, self.cell_region = self.group_orchestrator[is_first], region[is_first]
        self.has_address = np.array([is_address(each) for each in self.orchestrators], np.bool_)

    def _key(self, series: Series) -> tuple[int, int, int, int]:
        return (
            _index_in(self.orchestrators, self._orchestrators, series.orchestrator),
            _index_in(self.regions, self._regions, series.region),
            JOB_TYPES.index(series.job_type),
            _index_in(self.models, self._models, (series.pipeline, series.model)),
        )


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


def _index_in(names: list[K], numbers: dict[K, int], name: K) -> int:
    number = numbers.setdefault(name, len(names))
    if number == len(names):
        names.append(name)
    return number
