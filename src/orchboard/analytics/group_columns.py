"""The groups that the series of a SeriesIndex belong to, as arrays, so that entries are grouped without a loop over them."""

import numpy as np
from numpy.typing import NDArray

from orchboard.stats import JobType
from orchboard.store.details.series_index import SeriesIndex
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

Numbers = NDArray[np.int32]


class GroupColumns:
    """The groups of the series of an index. Grows with the index.

    A pair is an owner and a region. A group is a pair, a job type, a pipeline and a model. Groups are numbered by owner, then by
    pair. Their numbers, and those of pairs, change when the columns grow; those of owners, regions and models do not.

    owners, regions, models -- the names that numbers stand for
    group -- the group of each series, shape (series,)
    group_owner, group_pair, group_model, group_job_type -- of each group, shape (groups,); the last is an index in JOB_TYPES
    pair_owner, pair_region -- of each pair, shape (pairs,)
    """

    def __init__(self, index: SeriesIndex, owner: Owner) -> None:
        self._index = index
        self._owner_of = owner
        self.group: Numbers = np.zeros(0, np.int32)
        self.extend()

    def extend(self) -> None:
        """Add the new series of the index."""
        index = self._index
        owners, regions = index.column(self._owner_of), index.column(region_of)
        models, job_types = index.column(model_of), index.column(job_type_of)
        self.owners: list[str] = owners.keys
        self.regions: list[str] = regions.keys
        self.models: list[PipelineModel] = models.keys
        job_type = np.array([JOB_TYPES.index(each) for each in job_types.keys], np.int64)
        shape = len(owners.keys), len(regions.keys), len(JOB_TYPES), len(models.keys)
        number = np.ravel_multi_index(
            (owners.number, regions.number, job_type[job_types.number], models.number), shape
        )
        groups, group = _numbered(number)
        owner, region, of_type, model = np.unravel_index(groups, shape)
        is_first = is_run_start(owner) | is_run_start(region)
        self.group = group
        self.group_owner, self.group_model = owner.astype(np.int32), model.astype(np.int32)
        self.group_job_type = of_type.astype(np.int8)
        self.group_pair = (np.cumsum(is_first) - 1).astype(np.int32)
        self.pair_owner, self.pair_region = (
            owner[is_first].astype(np.int32),
            region[is_first].astype(np.int32),
        )

    def owner(self, series: Indices) -> Indices:
        """The owner of each of some series."""
        return self._index.column(self._owner_of).of(series)

    def names_of(self, pairs: Indices) -> list[tuple[str, str]]:
        """Owner and region of each of some pairs."""
        owners, regions = self.pair_owner[pairs].tolist(), self.pair_region[pairs].tolist()
        return [
            (self.owners[owner], self.regions[region]) for owner, region in zip(owners, regions, strict=True)
        ]

    def has_address(self, series: Indices) -> NDArray[np.bool_]:
        """Whether the orchestrator of each of some series is named by an Ethereum address."""
        column = self._index.column(has_address)
        return np.array(column.keys, np.bool_)[column.of(series)]


def _numbered(values: Indices) -> tuple[Indices, Numbers]:
    """The distinct values, ascending, and the position in them of each. As np.unique, and faster for values that are nearly sorted."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    is_first = is_run_start(ordered)
    position = np.empty(len(values), np.int32)
    position[order] = np.cumsum(is_first) - 1
    return ordered[is_first], position


def columns_of(index: SeriesIndex, owner: Owner = orchestrator_of) -> GroupColumns:
    """The columns of an index; computed when it has new series. owner -- of a module"""
    key = GroupColumns, owner
    if key not in index.derived:
        index.derived[key] = GroupColumns(index, owner)
    columns: GroupColumns = index.derived[key]
    if len(columns.group) < len(index):
        columns.extend()
    return columns
