"""The groups that the series of a SeriesIndex belong to, as arrays, so that entries are grouped without a loop over them."""

from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from orchboard.stats import JobType
from orchboard.store.details.series_index import SeriesColumn, SeriesIndex
from orchboard.store.details.series_keys import (
    SeriesKey,
    has_address,
    job_type_of,
    model_of,
    orchestrator_of,
    region_of,
)
from orchboard.store.rollups.group_index import Indices, PipelineModel, is_run_start

JOB_TYPES = tuple(JobType)

Owner = SeriesKey[str]
"""Whose scores are computed: the orchestrator of a series, or the line of a history that it belongs to."""


class GroupColumns:
    """The groups of the series of an index. Grows with the index.

    A pair is an owner and a region. A group is a pair, a job type, a pipeline and a model. Groups are numbered by owner, then by
    pair. Their numbers, and those of pairs, change when the columns grow; those of owners, regions and models do not.

    owners, regions, models -- the names that numbers stand for
    owner -- the owner of each series, shape (series,), as the next two
    has_address -- whether the orchestrator of each series is named by an Ethereum address
    group -- the group of each series
    group_owner, group_pair, group_model, group_job_type -- of each group, shape (groups,); the last is an index in JOB_TYPES
    pair_owner, pair_region -- of each pair, shape (pairs,)
    """

    def __init__(self, index: SeriesIndex, owner: Owner) -> None:
        self._owner_of = owner
        self.group: Indices = np.zeros(0, np.int64)
        self.extend(index)

    def extend(self, index: SeriesIndex) -> None:
        """Add the new series of the index."""
        owners, regions = index.column(self._owner_of), index.column(region_of)
        models, job_types = index.column(model_of), index.column(job_type_of)
        addresses = index.column(has_address)
        self.owners: list[str] = owners.keys
        self.regions: list[str] = regions.keys
        self.models: list[PipelineModel] = models.keys
        self.owner = owners.number
        self.has_address: NDArray[np.bool_] = np.array(addresses.keys, np.bool_)[addresses.number]
        self._number_groups(owners, regions, job_types, models)

    def _number_groups(
        self,
        owners: SeriesColumn[str],
        regions: SeriesColumn[str],
        job_types: SeriesColumn[JobType],
        models: SeriesColumn[PipelineModel],
    ) -> None:
        job_type = np.array([JOB_TYPES.index(each) for each in job_types.keys], np.int64)[job_types.number]
        shape = len(owners.keys), len(regions.keys), len(JOB_TYPES), len(models.keys)
        numbers = owners.number, regions.number, job_type, models.number
        groups, self.group = np.unique(np.ravel_multi_index(numbers, shape), return_inverse=True)
        self.group_owner, region, self.group_job_type, self.group_model = np.unravel_index(groups, shape)
        is_first = is_run_start(self.group_owner) | is_run_start(region)
        self.group_pair = np.cumsum(is_first) - 1
        self.pair_owner, self.pair_region = self.group_owner[is_first], region[is_first]


_columns: WeakKeyDictionary[SeriesIndex, dict[Owner, GroupColumns]] = WeakKeyDictionary()


def columns_of(index: SeriesIndex, owner: Owner = orchestrator_of) -> GroupColumns:
    """The columns of an index; computed when it has new series. owner -- of a module"""
    of_index = _columns.setdefault(index, {})
    if owner not in of_index:
        of_index[owner] = GroupColumns(index, owner)
    columns = of_index[owner]
    if len(columns.group) < len(index):
        columns.extend(index)
    return columns
