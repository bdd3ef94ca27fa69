"""Means and medians over any window: from what is summed up, and from the results where that ends."""

import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from functools import lru_cache
from typing import TypeAlias, TypeVar

import numpy as np
from msgspec import Struct

from orchboard.stats import JobType, Pipeline, StatsQuery, Window
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.admission import UNBOUNDED, Admission
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.pg_time import from_pg_time, to_pg_time
from orchboard.store.rollups.exact_median import RollupRebuiltError, RoundTrips, medians_of, read_doubles
from orchboard.store.rollups.group_index import Cell, GroupIndex, Numbers, PipelineModel
from orchboard.store.rollups.group_sums import Sums, add_up, unsummed_sums_of
from orchboard.store.rollups.index_sets import distinct, ranked
from orchboard.store.rollups.live_tail import LiveTail, OutdatedError
from orchboard.store.rollups.query_cost import cost_of
from orchboard.store.rollups.result_columns import Columns, Doubles
from orchboard.store.rollups.rollup_cache import ROUND_TRIPS, SEEN, RollupCache, sums_kind
from orchboard.store.rollups.window_plan import BucketKey, Split
from orchboard.store.sql_files import sql

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


class _Held(Struct):
    """What is in memory: about the regions as they were when the first of it was read.

    seen_of -- what some sealed spans saw, all together: the next window mostly has the same in it
    """

    series: GroupIndex
    recent: LiveTail
    sealed: RollupCache
    seen_of: tuple[tuple[BucketKey, ...], Numbers] = (), np.zeros(0, np.int64)


class MeansReader:
    """Reads means, medians and pipelines. Raises DatabaseUnavailableError, ClientBusyError, OverloadedError.

    Each answer holds everything that this host acknowledged before it was asked for.
    """

    def __init__(
        self,
        database: Database,
        regions: RegionDirectory,
        changes: VersionCounters,
        clock: DatabaseClock,
        admission: Admission = UNBOUNDED,
    ) -> None:
        self._database = database
        self._admission = admission
        self._regions = regions
        self._changes = changes
        self._clock = clock
        self._held = self._nothing_held()

    def _nothing_held(self) -> _Held:
        series = GroupIndex(self._database, self._regions)
        return _Held(
            series,
            LiveTail(self._database, series, self._changes, self._clock),
            RollupCache(self._database, series),
        )

    async def _forget(self, held: _Held) -> None:
        """Hold nothing any more, unless somebody has done so: it can't be brought up to date."""
        if self._held is held:
            self._held = self._nothing_held()
            self._changes.mark_late()
            self._changes.invalidate_all()
            await self._regions.read()

    async def fetch_means(self, query: StatsQuery) -> Means:
        """The means of each group that the query asks for."""
        job_type = query.job_type

        async def read(held: _Held, split: Split) -> tuple[list[Sums], list[Columns]]:
            sums = await held.sealed.sums(split.whole, job_type)
            if split.unsummed:
                rows = await self._database.fetch(sql("unsummed_segments"), *_arrays(split), job_type)
                sums.append(await unsummed_sums_of(rows, held.series))
            return sums, await _pieces(held, split, job_type)

        def finish(held: _Held, found: tuple[list[Sums], list[Columns]], split: Split) -> Means:
            sums, columns = found
            columns.append(held.recent.scored(job_type, *split.recent))
            return _means(held.series, add_up(sums, columns, len(held.series)), query)

        return await self._read(query.window, sums_kind(job_type), read, finish)

    async def fetch_medians(self, query: StatsQuery) -> Medians:
        """The median round trips of the successes, over all orchestrators."""
        while True:
            lists = await self._round_trips(query)
            try:
                return await medians_of(
                    lists, lambda *parts: self._database.fetch(sql("round_trip_slices"), *parts)
                )
            except RollupRebuiltError:
                self._held.recent.look_again()

    async def fetch_pipelines(self, window: Window, region: str | None) -> tuple[Pipeline, ...]:
        """The pipelines with models and regions, all sorted."""

        async def read(held: _Held, split: Split) -> list[Numbers]:
            seen = [await _seen_in(held, tuple(split.whole))]
            if split.unsummed:
                rows = await self._database.fetch(sql("unsummed_pipelines"), *_arrays(split))
                columns = ([row[place] for row in rows] for place in range(3))
                seen.append(await held.series.seen_of(*columns))
            for piece in split.pieces:
                sightings = (await held.sealed.results(piece.span)).sightings
                seen.append(sightings.between(piece.since, piece.until).seen)
            return seen

        def finish(held: _Held, seen: list[Numbers], split: Split) -> tuple[Pipeline, ...]:
            seen.append(held.recent.sightings(*split.recent).seen)
            shown = np.concatenate(seen)
            places = distinct(shown[shown >= 0], len(held.series.seen))
            return _pipelines(tuple([held.series.seen[place] for place in places.tolist()]), region)

        return await self._read(window, SEEN, read, finish)

    async def _read(
        self,
        window: Window,
        kind: tuple[Hashable, ...],
        read: Callable[[_Held, Split], Awaitable[T]],
        finish: Callable[[_Held, T, Split], R],
    ) -> R:
        """What the parts of a window come to.

        Made of what is at hand while the database is asked whether there is more, if there mostly is not.

        kind -- of what `read` wants of whole spans: see RollupCache
        read -- what is known of the parts that are summed up, or nowhere at hand
        finish -- what that and the newest results come to; does not wait, and keeps no view of these
        """
        since = to_pg_time(window.since)
        came_at = time.monotonic()
        while True:
            held = self._held
            recent = held.recent
            try:
                check = await recent.begin_read(came_at)
                generation = recent.generation
                until = to_pg_time(self._clock.end_of(window)) + 1
                before = None
                while before != (at_hand := (recent.coverage, recent.held_since)):
                    before = at_hand
                    split = at_hand[0].split(since, until, held_since=at_hand[1])
                    cost = cost_of(split, at_hand[0], held.sealed, kind)
                    async with self._admission.admitted(cost):
                        found = await read(held, split)
                answer = finish(held, found, split)
                if check is not None:
                    await check
                if check is None or generation == recent.generation:
                    return answer
            except RollupRebuiltError:
                recent.look_again()
                came_at = time.monotonic()
            except OutdatedError:
                await self._forget(held)

    async def _round_trips(self, query: StatsQuery) -> list[RoundTrips]:
        """The round trips that medians are taken from."""

        async def read(held: _Held, split: Split) -> tuple[list[RoundTrips], list[Columns]]:
            lists = [each for of_span in await held.sealed.round_trips(split.whole) for each in of_span]
            if split.unsummed:
                rows = await self._database.fetch(sql("unsummed_round_trips"), *_arrays(split))
                codes = await held.series.region_codes({row["region_id"] for row in rows})
                lists += [
                    RoundTrips(
                        (row["pipeline"], row["model"]),
                        codes[row["region_id"]],
                        read_doubles(row["round_trips"]),
                    )
                    for row in rows
                ]
            return lists, await _pieces(held, split, JobType.AI)

        def finish(
            held: _Held, found: tuple[list[RoundTrips], list[Columns]], split: Split
        ) -> list[RoundTrips]:
            lists, columns = found
            columns.append(held.recent.scored(JobType.AI, *split.recent))
            for each in columns:
                lists += _successes(held.series, each, query.region)
            return [
                each
                for each in lists
                if _is_asked(query, each.model)
                and (query.region is None or each.region in (None, query.region))
            ]

        return await self._read(query.window, ROUND_TRIPS, read, finish)


async def _seen_in(held: _Held, spans: tuple[BucketKey, ...]) -> Numbers:
    """What sealed spans saw, all together."""
    if spans != held.seen_of[0]:
        seen = np.concatenate([np.zeros(0, np.int64), *await held.sealed.seen(spans)])
        held.seen_of = spans, distinct(seen, len(held.series.seen))
    return held.seen_of[1]


async def _pieces(held: _Held, split: Split, job_type: JobType) -> list[Columns]:
    return [
        (await held.sealed.results(piece.span)).scored[job_type].between(piece.since, piece.until)
        for piece in split.pieces
    ]


def _successes(series: GroupIndex, columns: Columns, region: str | None) -> list[RoundTrips]:
    """Results' round trips, those of one region if one is asked for."""
    counts = (columns.success_rate == 1) & (columns.round_trip_time != 0)
    cell, model = series.places_of(columns.series[counts])
    values = columns.round_trip_time[counts]
    if region is not None:
        there = series.cells_where(None, region)[cell]
        model, values = model[there], values[there]
    return [
        RoundTrips(series.models[place], None, values[model == place])
        for place in distinct(model, len(series.models)).tolist()
    ]


def _means(series: GroupIndex, sums: Sums, query: StatsQuery) -> Means:
    """The sums of the groups that are asked for, divided."""
    cell, model = series.places_of(sums.series)
    asked = np.ones(len(cell), np.bool_)
    if query.orchestrator is not None or query.region is not None:
        asked &= series.cells_where(query.orchestrator, query.region)[cell]
    if query.pipeline is not None or query.model is not None:
        asked &= np.array([_is_asked(query, name) for name in series.models], np.bool_)[model]
    in_order, ranks = series.order_of_cells()
    present, cell = ranked(ranks[cell[asked]], len(ranks))
    results = sums.results[asked].astype(np.float64, copy=False)
    return Means(
        [in_order[rank] for rank in present.tolist()],
        series.models,
        cell,
        model[asked],
        results,
        sums.success_rate[asked] / results,
        sums.seg_duration[asked] / results,
        sums.round_trip_time[asked] / results,
    )


def _is_asked(query: StatsQuery, name: PipelineModel) -> bool:
    """Whether a query includes the results of a pipeline and model; each may stand alone."""
    pipeline, model = name
    return query.pipeline in (None, pipeline) and query.model in (None, model)


def _arrays(split: Split) -> tuple[list[object], list[object]]:
    """The unsummed times as the statements take them."""
    since, until = zip(*split.unsummed, strict=True)
    return [from_pg_time(moment) for moment in since], [from_pg_time(moment) for moment in until]


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
