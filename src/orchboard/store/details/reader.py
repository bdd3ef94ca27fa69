"""DetailReader: what the results of any window, or of many buckets of a window, add up to by series."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from msgspec import Struct

from orchboard.stats import JobType, SeriesQuery, Window
from orchboard.store.details.result_details import DetailResultReader
from orchboard.store.details.series import SeriesIndex
from orchboard.store.details.sums import SeriesSums
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.clock import DatabaseClock, to_pg_time
from orchboard.store.postgres.database import Database
from orchboard.store.rollups.group_index import PipelineModel
from orchboard.store.sql_files import sql
from orchboard.window import LATEST

_MICROSECOND = timedelta(microseconds=1)


class Details(Struct, frozen=True):
    """What was asked for of one window.

    index -- of the series of `sums`
    sums -- of the series that the query selects
    medians -- the median round trip in seconds of each AI pipeline and model, of all orchestrators, in the query's region if
        it has one: what scores are relative to. Pipelines and models without a success are missing
    """

    index: SeriesIndex
    sums: SeriesSums
    medians: dict[PipelineModel, float]


class DetailReader:
    """Reads details. Raises DatabaseUnavailableError, ClientBusyError, OverloadedError.

    Each answer includes every result that this host acknowledged before the call.
    """

    def __init__(self, database: Database, regions: RegionDirectory, clock: DatabaseClock) -> None:
        self._database = database
        self._regions = regions
        self._clock = clock

    async def fetch(self, query: SeriesQuery, window: Window) -> Details:
        """The details of a window."""
        end = window.until + _MICROSECOND if window.until < LATEST else self._clock.horizon() + _MICROSECOND
        [details] = await self.fetch_buckets(query, [window.since, end])
        return details

    async def fetch_buckets(self, query: SeriesQuery, edges: Sequence[datetime]) -> list[Details]:
        """The details of each bucket [edges[i], edges[i + 1]) of receipt time. edges -- ascending, at least two"""
        index = SeriesIndex()
        testers = {row["id"]: row["name"] for row in await self._database.fetch(sql("tester_names"))}
        reader = DetailResultReader(index, self._regions, testers)
        [row] = await self._database.fetch(sql("detail_results"), edges[0], edges[-1])
        results = await reader.read(row)
        buckets = []
        for since, until in pairwise(edges):
            sums = reader.sums(results.between(to_pg_time(since), to_pg_time(until)))
            buckets.append(_details(index, sums, query))
        return buckets


def _details(index: SeriesIndex, sums: SeriesSums, query: SeriesQuery) -> Details:
    selected = [at for at, series in enumerate(sums.series.tolist()) if query.selects(index.all[series])]
    return Details(index, sums.select(np.array(selected, np.int64)), medians_of(index, sums, query.region))


def medians_of(index: SeriesIndex, sums: SeriesSums, region: str | None) -> dict[PipelineModel, float]:
    """The median round trip of each AI pipeline and model in some sums; only in a region if one is given."""
    lists: dict[PipelineModel, list[np.ndarray]] = {}
    ends = np.cumsum(sums.round_trip_counts).tolist()
    for number, end, length in zip(sums.series.tolist(), ends, sums.round_trip_counts.tolist(), strict=True):
        series = index.all[number]
        if length and series.job_type is JobType.AI and region in (None, series.region):
            lists.setdefault((series.pipeline, series.model), []).append(sums.round_trips[end - length : end])
    return {model: float(np.median(np.concatenate(values))) for model, values in lists.items()}
