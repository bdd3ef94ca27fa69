"""Means and medians over any window: from what is summed up, and from the results where that ends."""

import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from functools import lru_cache
from typing import TypeAlias, TypeVar

import numpy as np
from msgspec import Struct

from orchboard.stats import JobType, Pipeline, StatsQuery, Window
from orchboard.store.admission import UNBOUNDED, Admission
from orchboard.store.changes import Changes
from orchboard.store.columns import Columns, Doubles
from orchboard.store.costs import cost_of
from orchboard.store.coverage import SpanKey, Split
from orchboard.store.database import Database
from orchboard.store.medians import ResealedError, RoundTrips, medians_of, read_doubles
from orchboard.store.moments import to_datetime, to_moment
from orchboard.store.places import distinct, ranked
from orchboard.store.queries import sql
from orchboard.store.recent import Recent
from orchboard.store.regions import RegionDirectory
from orchboard.store.sealed import ROUND_TRIPS, SEEN, Sealed, sums_kind
from orchboard.store.series import Cell, Numbers, PipelineModel, SeriesDirectory
from orchboard.store.sums import Sums, add_up, unsummed_sums_of

T = TypeVar("T")
R = TypeVar("R")

Medians: TypeAlias = Mapping[PipelineModel, float]
"""The median round trip in seconds; those without a success are missing."""


class Means(Struct, frozen=True):
    """Means over groups of results: those of a cell, for AI with one pipeline and model. Times in seconds.

    cells -- (orchestrator, region), sorted; each has at least one group
    models -- (pipeline, model), in no order
    cell, model -- for each group, where in `cells` and in `models` it belongs
    results -- how many each group has, at least 1
    """

    cells: list[Cell]
    models: list[PipelineModel]
    cell: Numbers
    model: Numbers
    results: Doubles
    success_rate: Doubles
    seg_duration: Doubles
    round_trip_time: Doubles


class MeansReader:
    """Reads means, medians and pipelines. Raises DatabaseUnavailableError, ClientBusyError, OverloadedError.

    Each answer holds everything that this host acknowledged before it was asked for.
    """

    def __init__(
        self,
        database: Database,
        regions: RegionDirectory,
        changes: Changes,
        admission: Admission = UNBOUNDED,
    ) -> None:
        self._database = database
        self._admission = admission
        self._series = SeriesDirectory(database, regions)
        self._recent = Recent(database, self._series, changes)
        self._sealed = Sealed(database, self._series)
        self._seen_of: tuple[tuple[SpanKey, ...], Numbers] = (), np.zeros(0, np.int64)

    async def fetch_means(self, query: StatsQuery) -> Means:
        """The means of each group that the query asks for."""
        job_type = query.job_type

        async def read(split: Split) -> tuple[list[Sums], list[Columns]]:
            sums = await self._sealed.sums(split.whole, job_type)
            if split.unsummed:
                rows = await self._database.fetch(sql("unsummed_segments"), *_arrays(split), job_type)
                sums.append(await unsummed_sums_of(rows, self._series))
            return sums, await self._pieces(split, job_type)

        def finish(found: tuple[list[Sums], list[Columns]], split: Split) -> Means:
            sums, columns = found
            columns.append(self._recent.scored(job_type, *split.recent))
            return self._means(add_up(sums, columns, len(self._series)), query)

        return await self._read(query.window, sums_kind(job_type), read, finish)

    async def fetch_medians(self, query: StatsQuery) -> Medians:
        """The median round trips of the successes, over all orchestrators."""
        while True:
            lists = await self._round_trips(query)
            try:
                return await medians_of(
                    lists, lambda *parts: self._database.fetch(sql("round_trip_slices"), *parts)
                )
            except ResealedError:
                self._recent.look_again()

    async def fetch_pipelines(self, window: Window, region: str | None) -> tuple[Pipeline, ...]:
        """The pipelines with models and regions, all sorted."""

        async def read(split: Split) -> list[Numbers]:
            seen = [await self._seen_in(tuple(split.whole))]
            if split.unsummed:
                rows = await self._database.fetch(sql("unsummed_pipelines"), *_arrays(split))
                columns = ([row[place] for row in rows] for place in range(3))
                seen.append(await self._series.seen_of(*columns))
            for piece in split.pieces:
                sightings = (await self._sealed.results(piece.span)).sightings
                seen.append(sightings.between(piece.since, piece.until).seen)
            return seen

        def finish(seen: list[Numbers], split: Split) -> tuple[Pipeline, ...]:
            seen.append(self._recent.sightings(*split.recent).seen)
            shown = np.concatenate(seen)
            places = distinct(shown[shown >= 0], len(self._series.seen))
            return _pipelines(tuple([self._series.seen[place] for place in places.tolist()]), region)

        return await self._read(window, SEEN, read, finish)

    async def _seen_in(self, spans: tuple[SpanKey, ...]) -> Numbers:
        """What sealed spans saw, all together. Kept for the next window, which mostly has the same in it."""
        if spans != self._seen_of[0]:
            seen = np.concatenate([np.zeros(0, np.int64), *await self._sealed.seen(spans)])
            self._seen_of = spans, distinct(seen, len(self._series.seen))
        return self._seen_of[1]

    async def _read(
        self,
        window: Window,
        kind: tuple[Hashable, ...],
        read: Callable[[Split], Awaitable[T]],
        finish: Callable[[T, Split], R],
    ) -> R:
        """What the parts of a window come to.

        Made of what is at hand while the database is asked whether there is more, if there mostly is not.

        kind -- of what `read` wants of whole spans: see Sealed
        read -- what is known of the parts that are summed up, or nowhere at hand
        finish -- what that and the newest results come to; does not wait, and keeps no view of these
        """
        since, until = to_moment(window.since), to_moment(window.until) + 1
        came_at = time.monotonic()
        while True:
            check = await self._recent.begin_read(came_at)
            generation = self._recent.generation
            try:
                before = None
                while before != (at_hand := (self._recent.coverage, self._recent.held_since)):
                    before = at_hand
                    split = at_hand[0].split(since, until, held_since=at_hand[1])
                    cost = cost_of(split, at_hand[0], self._sealed, kind)
                    async with self._admission.admitted(cost):
                        found = await read(split)
                answer = finish(found, split)
                if check is not None:
                    await check
                if check is None or generation == self._recent.generation:
                    return answer
            except ResealedError:
                self._recent.look_again()
                came_at = time.monotonic()

    async def _pieces(self, split: Split, job_type: JobType) -> list[Columns]:
        return [
            (await self._sealed.results(piece.span)).scored[job_type].between(piece.since, piece.until)
            for piece in split.pieces
        ]

    async def _round_trips(self, query: StatsQuery) -> list[RoundTrips]:
        """The round trips that medians are taken from."""

        async def read(split: Split) -> tuple[list[RoundTrips], list[Columns]]:
            lists = [each for of_span in await self._sealed.round_trips(split.whole) for each in of_span]
            if split.unsummed:
                rows = await self._database.fetch(sql("unsummed_round_trips"), *_arrays(split))
                codes = await self._series.region_codes({row["region_id"] for row in rows})
                lists += [
                    RoundTrips(
                        (row["pipeline"], row["model"]),
                        codes[row["region_id"]],
                        read_doubles(row["round_trips"]),
                    )
                    for row in rows
                ]
            return lists, await self._pieces(split, JobType.AI)

        def finish(found: tuple[list[RoundTrips], list[Columns]], split: Split) -> list[RoundTrips]:
            lists, columns = found
            columns.append(self._recent.scored(JobType.AI, *split.recent))
            for each in columns:
                lists += self._successes(each, query.region)
            model = None if query.pipeline is None else (query.pipeline, query.model)
            return [
                each
                for each in lists
                if (model is None or each.model == model)
                and (query.region is None or each.region in (None, query.region))
            ]

        return await self._read(query.window, ROUND_TRIPS, read, finish)

    def _successes(self, columns: Columns, region: str | None) -> list[RoundTrips]:
        """Results' round trips, those of one region if one is asked for."""
        counts = (columns.success_rate == 1) & (columns.round_trip_time != 0)
        cell, model = self._series.places_of(columns.series[counts])
        values = columns.round_trip_time[counts]
        if region is not None:
            there = self._series.cells_where(None, region)[cell]
            model, values = model[there], values[there]
        return [
            RoundTrips(self._series.models[place], None, values[model == place])
            for place in distinct(model, len(self._series.models)).tolist()
        ]

    def _means(self, sums: Sums, query: StatsQuery) -> Means:
        """The sums of the groups that are asked for, divided."""
        cell, model = self._series.places_of(sums.series)
        asked = np.ones(len(cell), np.bool_)
        if query.orchestrator is not None or query.region is not None:
            asked &= self._series.cells_where(query.orchestrator, query.region)[cell]
        if query.pipeline is not None:
            models = self._series.models
            place = models.index(name) if (name := (query.pipeline, query.model)) in models else -1
            asked &= model == place
        in_order, ranks = self._series.order_of_cells()
        present, cell = ranked(ranks[cell[asked]], len(ranks))
        results = sums.results[asked].astype(np.float64, copy=False)
        return Means(
            [in_order[rank] for rank in present.tolist()],
            self._series.models,
            cell,
            model[asked],
            results,
            sums.success_rate[asked] / results,
            sums.seg_duration[asked] / results,
            sums.round_trip_time[asked] / results,
        )


def _arrays(split: Split) -> tuple[list[object], list[object]]:
    """The unsummed times as the statements take them."""
    since, until = zip(*split.unsummed, strict=True)
    return [to_datetime(moment) for moment in since], [to_datetime(moment) for moment in until]


@lru_cache(maxsize=16)
def _pipelines(seen: tuple[tuple[str, str, str], ...], region: str | None) -> tuple[Pipeline, ...]:
    models: dict[str, set[str]] = {}
    regions: dict[str, set[str]] = {}
    for pipeline, model, code in seen:
        if region in (None, code):
            models.setdefault(pipeline, set()).add(model)
            regions.setdefault(pipeline, set()).add(code)
    return tuple(
        Pipeline(pipeline, tuple(sorted(models[pipeline])), tuple(sorted(regions[pipeline])))
        for pipeline in sorted(models)
    )
