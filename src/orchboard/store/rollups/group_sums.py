"""Sums and means of the measures by group, from rollups and from raw results."""

from collections.abc import Sequence

import asyncpg
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from orchboard.stats import StatsQuery
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.group_index import Cell, GroupIndex, Indices, PipelineModel, unique_inverse
from orchboard.store.rollups.result_columns import Doubles, ResultColumns


class GroupSums(Struct, frozen=True):
    """Sums over the scored results of one job type in some ranges.

    groups -- of the GroupIndex, shape (groups,); results -- the number of each, at least 1
    sums -- of the measures, shape (measures, groups), in the order of MEASURES
    """

    groups: NDArray[np.integer]
    results: NDArray[np.integer | np.floating]
    sums: Doubles

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        return self.groups.nbytes + self.results.nbytes + self.sums.nbytes


class Means(Struct, frozen=True):
    """Means over groups of results: of one cell, for AI also of one pipeline and model. Times in seconds.

    cells -- (orchestrator, region), sorted; each has at least one group
    models -- (pipeline, model), in no order
    cell, model -- of each group, the index in `cells` and in `models`, shape (groups,)
    results -- the number of each group, at least 1
    means -- of the measures, shape (measures, groups), in the order of MEASURES
    """

    cells: list[Cell]
    models: list[PipelineModel]
    cell: Indices
    model: Indices
    results: Doubles
    means: Doubles

    def mean(self, measure: str) -> Doubles:
        """The means of one of MEASURES."""
        values: Doubles = self.means[MEASURES.index(measure)]
        return values


async def materialized_sums(rows: Sequence[asyncpg.Record], index: GroupIndex) -> GroupSums:
    """The rows of one bucket in `bucket_sums`."""
    ids = np.frombuffer(b"".join(row["groups"] for row in rows), ">i4").astype(np.int64)
    return _group_sums(await index.groups_of_ids(ids), rows)


async def unmaterialized_sums(rows: Sequence[asyncpg.Record], index: GroupIndex) -> GroupSums:
    """The rows of `unmaterialized_sums`."""
    groups = [
        await index.groups_of_model(row["orchestrators"], row["region_ids"], (row["pipeline"], row["model"]))
        for row in rows
    ]
    return _group_sums(np.concatenate([np.zeros(0, np.int64), *groups]), rows)


def _group_sums(groups: Indices, rows: Sequence[asyncpg.Record]) -> GroupSums:
    sums = [np.frombuffer(b"".join(row[name] for row in rows), ">f8") for name in MEASURES]
    results = np.frombuffer(b"".join(row["results"] for row in rows), ">i4")
    return GroupSums(_compact(groups), _compact(results), np.array(sums, np.float64))


def _compact(integers: NDArray[np.integer]) -> NDArray[np.integer]:
    """In the smallest type that fits: there are many buckets in memory."""
    return integers.astype(np.min_scalar_type(integers.max(initial=0)))


def add_up(parts: Sequence[GroupSums], results: Sequence[ResultColumns], groups: int) -> GroupSums:
    """The total of all, each group once, ascending. groups -- the length of the GroupIndex"""
    parts = [*parts, *(GroupSums(each.groups, np.ones(len(each.groups)), each.measures) for each in results)]
    group = np.concatenate([np.zeros(0, np.int64), *(part.groups for part in parts)])
    number = np.concatenate([np.zeros(0), *(part.results for part in parts)])
    total = np.bincount(group, number, groups)
    present = np.flatnonzero(total)
    sums = np.empty((len(MEASURES), len(present)))
    for measure in range(len(MEASURES)):
        values = np.concatenate([np.zeros(0), *(part.sums[measure] for part in parts)])
        sums[measure] = np.bincount(group, values, groups)[present]
    return GroupSums(present, total[present], sums)


def means_of(index: GroupIndex, sums: GroupSums, query: StatsQuery) -> Means:
    """The sums of the groups that the query selects, divided by their results."""
    cell, model = index.cells_and_models(sums.groups)
    selected = np.ones(len(cell), np.bool_)
    if query.orchestrator is not None or query.region is not None:
        selected &= index.cells_where(query.orchestrator, query.region)[cell]
    if query.pipeline is not None or query.model is not None:
        is_selected = [
            query.pipeline in (None, pipeline) and query.model in (None, name)
            for pipeline, name in index.models
        ]
        selected &= np.array(is_selected, np.bool_)[model]
    cells, ranks = index.sorted_cells()
    present, cell = unique_inverse(ranks[cell[selected]], len(ranks))
    results = sums.results[selected].astype(np.float64, copy=False)
    means = sums.sums[:, selected] / results
    return Means(
        [cells[rank] for rank in present.tolist()], index.models, cell, model[selected], results, means
    )
