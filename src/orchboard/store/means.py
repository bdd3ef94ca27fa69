"""Means of each orchestrator in each region, from the sums that the store keeps and the results since."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from orchboard.stats import StatsQuery
from orchboard.store.database import Database
from orchboard.store.medians import ResealedError, medians_of
from orchboard.store.queries import sql
from orchboard.store.regions import RegionDirectory
from orchboard.store.series import Numbers, PipelineModel, SeriesDirectory
from orchboard.store.sums import Sums, add_up

Doubles: TypeAlias = NDArray[np.float64]

Medians: TypeAlias = Mapping[PipelineModel, float]
"""The median round trip in seconds; those without a success are missing."""


class Means(Struct, frozen=True):
    """Means over groups of results: those of a cell, for AI with one pipeline and model. Times in seconds.

    cells -- (orchestrator, region), sorted; each has at least one group
    models -- (pipeline, model), in no order
    cell, model -- for each group, where in `cells` and in `models` it belongs
    results -- how many each group has, at least 1
    """

    cells: list[tuple[str, str]]
    models: list[PipelineModel]
    cell: Numbers
    model: Numbers
    results: Doubles
    success_rate: Doubles
    seg_duration: Doubles
    round_trip_time: Doubles


class MeansReader:
    """Reads means and medians. Raises DatabaseUnavailableError."""

    def __init__(self, database: Database, regions: RegionDirectory) -> None:
        self._database = database
        self._regions = regions
        self._series = SeriesDirectory(database)

    async def fetch_means(self, query: StatsQuery) -> Means:
        """The means of each group that the query asks for."""
        rows = await self._database.fetch(
            sql("segments"),
            query.window.since,
            query.window.until,
            query.job_type,
            query.pipeline,
            query.model,
        )
        sums = await add_up(rows, self._series)
        cell, model = self._series.places_of(sums.series)
        cells = await self._cells_asked(cell, query)
        new_place = np.full(len(self._series.cells), -1)
        new_place[list(cells.values())] = np.arange(len(cells))
        return _means(sums, list(cells), new_place[cell], self._series.models, model)

    async def fetch_medians(self, query: StatsQuery) -> Medians:
        """The median round trips of the successes, over all orchestrators."""
        while True:
            rows = await self._database.fetch(
                sql("round_trips"),
                query.window.since,
                query.window.until,
                query.region,
                query.pipeline,
                query.model,
            )
            try:
                return await medians_of(
                    rows, lambda *parts: self._database.fetch(sql("round_trip_slices"), *parts)
                )
            except ResealedError:
                continue

    async def _cells_asked(self, places: Numbers, query: StatsQuery) -> dict[tuple[str, str], int]:
        """The cells at some places that the query is about, sorted, each with its place."""
        found = [(self._series.cells[place], place) for place in np.unique(places).tolist()]
        codes = await self._regions.codes_of({region_id for (_, region_id), _ in found})
        return dict(
            sorted(
                ((orchestrator, codes[region_id]), place)
                for (orchestrator, region_id), place in found
                if query.region in (None, codes[region_id]) and query.orchestrator in (None, orchestrator)
            )
        )


def _means(
    sums: Sums, cells: list[tuple[str, str]], cell: Numbers, models: list[PipelineModel], model: Numbers
) -> Means:
    """The sums of the groups whose cell is asked for, divided."""
    asked = cell >= 0
    results = sums.results[asked]
    return Means(
        cells,
        models,
        cell[asked],
        model[asked],
        results,
        sums.success_rate[asked] / results,
        sums.seg_duration[asked] / results,
        sums.round_trip_time[asked] / results,
    )
