"""Computes group means, exact medians and pipelines of a time window by merging materialized rollups with raw results at the
window's edges."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TypeAlias, TypeVar

import asyncpg
import numpy as np
from msgspec import Struct

from orchboard.stats import JobType, Pipeline, StatsQuery, Window
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.admission import UNBOUNDED, Admission
from orchboard.store.postgres.clock import DatabaseClock, from_pg_time, to_pg_time
from orchboard.store.postgres.reads import Reads
from orchboard.store.rollups.group_index import GroupIndex, Indices, Occurrence, PipelineModel, unique_sorted
from orchboard.store.rollups.live_tail import LiveTail, OutdatedError
from orchboard.store.rollups.result_columns import ResultColumns, ResultReader, Results
from orchboard.store.rollups.rollup_cache import PIPELINES, ROUND_TRIPS, Kind, RollupCache, sums_kind
from orchboard.store.rollups.scored_tail import ScoredTail
from orchboard.store.rollups.statistics import (
    GroupSums,
    Means,
    RollupRebuiltError,
    RoundTrips,
    RunningSums,
    add_up,
    means_of,
    quantiles_of,
    read_doubles,
    unmaterialized_sums,
)
from orchboard.store.rollups.window_plan import BucketKey, WindowPlan
from orchboard.store.sql_files import sql

T = TypeVar("T")
R = TypeVar("R")

Quantiles: TypeAlias = Mapping[PipelineModel, float]
"""A quantile of the round trips in seconds; pipelines and models without a successful result are missing."""


class _Memory(Struct):
    """The results and rollups in memory; discarded together when a region or tester has changed.

    seen_in -- buckets, and the occurrences in all of them: the next window mostly contains the same ones
    """

    index: GroupIndex
    content: ScoredTail
    tail: LiveTail[Results]
    cache: RollupCache
    seen_in: tuple[tuple[BucketKey, ...], Indices] = (), np.zeros(0, np.int64)


class MeansReader:
    """Reads means, medians and pipelines. Raises DatabaseUnavailableError, ClientBusyError, OverloadedError.

    Each answer includes every result that this host acknowledged before the call.
    """

    def __init__(
        self,
        database: Reads,
        regions: RegionDirectory,
        versions: VersionCounters,
        clock: DatabaseClock,
        admission: Admission = UNBOUNDED,
    ) -> None:
        self._database = database
        self._admission = admission
        self._regions = regions
        self._versions = versions
        self._clock = clock
        self._memory = self._new_memory()

    def _new_memory(self) -> _Memory:
        index = GroupIndex(self._database, self._regions)
        reader = ResultReader(index)
        content = ScoredTail(reader)
        return _Memory(
            index,
            content,
            LiveTail(self._database, content, self._versions, self._clock),
            RollupCache(self._database, index, reader),
        )

    async def _discard(self, memory: _Memory) -> None:
        """Discard what is in memory, as it can't be refreshed; unless another call did so."""
        if self._memory is memory:
            self._memory = self._new_memory()
            self._versions.mark_late()
            self._versions.invalidate_all()
            await self._regions.read()

    async def fetch_means(self, query: StatsQuery) -> Means:
        """The means of each group that the query selects."""
        means, _ = await self._fetch(query, with_round_trips=False)
        return means

    async def fetch_means_and_quantile(self, query: StatsQuery, fraction: float) -> tuple[Means, Quantiles]:
        """The means of AI groups, and a quantile of the round trips of all orchestrators' successes, in one pass.

        fraction -- from 0 to 1; 0.5 for medians
        """
        while True:
            means, lists = await self._fetch(query, with_round_trips=True)
            try:
                return means, await quantiles_of(lists, fraction, self._fetch_slices)
            except RollupRebuiltError:
                self._memory.tail.expire()

    async def fetch_pipelines(self, window: Window, region: str | None) -> tuple[Pipeline, ...]:
        """The pipelines with their models and regions, all sorted."""

        async def read(memory: _Memory, plan: WindowPlan) -> list[Indices]:
            found = [await _seen_in(memory, tuple(plan.buckets))]
            for since, until in _ranges(plan):
                rows = await self._database.fetch(sql("unmaterialized_pipelines"), since, until)
                columns = ([row[column] for row in rows] for column in range(3))
                found.append(await memory.index.occurrences_of(*columns))
            for partial in plan.partial_buckets:
                occurrences = (await memory.cache.results(partial.bucket)).occurrences
                found.append(occurrences.between(partial.since, partial.until).occurrences)
            return found

        def finish(memory: _Memory, found: list[Indices], plan: WindowPlan) -> tuple[Pipeline, ...]:
            all_found = np.concatenate([*found, memory.content.occurrences(*plan.tail).occurrences])
            distinct = unique_sorted(all_found[all_found >= 0], len(memory.index.occurrences))
            return _pipelines(tuple([memory.index.occurrences[each] for each in distinct.tolist()]), region)

        return await self._read(window, [PIPELINES], read, finish)

    async def _fetch(self, query: StatsQuery, *, with_round_trips: bool) -> tuple[Means, list[RoundTrips]]:
        """The means, and the round trips that quantiles are computed from; none unless asked for."""
        job_type = query.job_type

        async def read(
            memory: _Memory, plan: WindowPlan
        ) -> tuple[list[GroupSums], list[RoundTrips], list[ResultColumns]]:
            if with_round_trips:
                sums, lists = await asyncio.gather(
                    self._sums(memory, plan, job_type), self._round_trips(memory, plan)
                )
            else:
                sums, lists = await self._sums(memory, plan, job_type), []
            edges = [
                (await memory.cache.results(partial.bucket))
                .scored[job_type]
                .between(partial.since, partial.until)
                for partial in plan.partial_buckets
            ]
            return sums, lists, edges

        def finish(
            memory: _Memory,
            found: tuple[list[GroupSums], list[RoundTrips], list[ResultColumns]],
            plan: WindowPlan,
        ) -> tuple[Means, list[RoundTrips]]:
            sums, lists, edges = found
            columns = [*edges, memory.content.scored(job_type, *plan.tail)]
            total = add_up(sums, columns, len(memory.index))
            sums.clear()  # 13 MB for 300,000 groups
            means = means_of(memory.index, total, query)
            if with_round_trips:
                successes = [each for of in columns for each in _successes(memory.index, of, query.region)]
                lists = _selected(query, [*lists, *successes])
            return means, lists

        kinds = [sums_kind(job_type), ROUND_TRIPS] if with_round_trips else [sums_kind(job_type)]
        return await self._read(query.window, kinds, read, finish)

    async def _sums(self, memory: _Memory, plan: WindowPlan, job_type: JobType) -> list[GroupSums]:
        sums = RunningSums(memory.index)
        async for of_bucket in memory.cache.sums(plan.buckets, job_type):
            sums.add(of_bucket)
        for since, until in _ranges(plan):
            rows = await self._database.fetch(sql("unmaterialized_sums"), since, until, job_type)
            sums.add(await unmaterialized_sums(rows, memory.index))
        return sums.parts

    async def _round_trips(self, memory: _Memory, plan: WindowPlan) -> list[RoundTrips]:
        lists = [each for of_bucket in await memory.cache.round_trips(plan.buckets) for each in of_bucket]
        for since, until in _ranges(plan):
            rows = await self._database.fetch(sql("unmaterialized_round_trips"), since, until)
            codes = await memory.index.region_codes({row["region_id"] for row in rows})
            for row in rows:
                model, values = (row["pipeline"], row["model"]), read_doubles(row["round_trips"])
                lists.append(RoundTrips(model, codes[row["region_id"]], values))
        return lists

    async def _fetch_slices(self, *slices: list[int]) -> Sequence[asyncpg.Record]:
        return await self._database.fetch(sql("round_trip_slices"), *slices)

    async def _read(
        self,
        window: Window,
        kinds: list[Kind],
        read: Callable[[_Memory, WindowPlan], Awaitable[T]],
        finish: Callable[[_Memory, T, WindowPlan], R],
    ) -> R:
        """Compute an answer from the parts of a window.

        If the database has probably not changed, computes the answer while the refresh runs, and again if it has.

        kinds -- of entries of the RollupCache that `read` needs
        read -- reads the materialized and unmaterialized parts
        finish -- adds the tail; does not await, and keeps no view of it
        """
        since, requested_at = to_pg_time(window.since), time.monotonic()
        while True:
            memory = self._memory
            tail = memory.tail
            try:
                refreshing = await tail.begin_refresh(requested_at)
                generation = tail.generation
                until = to_pg_time(self._clock.exclusive_end_of(window))
                planned_for = None
                while planned_for != (current := (tail.coverage, tail.since)):
                    planned_for = current
                    plan = tail.coverage.plan(since, until, tail_since=tail.since)
                    cost = memory.cache.cost_of(plan, tail.coverage, kinds)
                    async with self._admission.admitted(cost):
                        found = await read(memory, plan)
                answer = finish(memory, found, plan)
                if refreshing is not None:
                    await refreshing
                if refreshing is None or generation == tail.generation:
                    return answer
            except RollupRebuiltError:
                tail.expire()
                requested_at = time.monotonic()
            except OutdatedError:
                await self._discard(memory)


async def _seen_in(memory: _Memory, buckets: tuple[BucketKey, ...]) -> Indices:
    """The distinct occurrences in some buckets."""
    if buckets != memory.seen_in[0]:
        found = np.concatenate([np.zeros(0, np.int64), *await memory.cache.pipelines(buckets)])
        memory.seen_in = buckets, unique_sorted(found, len(memory.index.occurrences))
    return memory.seen_in[1]


def _successes(index: GroupIndex, results: ResultColumns, region: str | None) -> list[RoundTrips]:
    """The round trips of successful results; only those of a region if one is given."""
    is_success = results.is_success
    pair, model = index.pairs_and_models(results.groups[is_success])
    values = results.measure("round_trip_time")[is_success]
    if region is not None:
        is_there = index.pairs_where(None, region)[pair]
        model, values = model[is_there], values[is_there]
    distinct = unique_sorted(model, len(index.models)).tolist()
    return [RoundTrips(index.models[each], None, values[model == each]) for each in distinct]


def _selected(query: StatsQuery, lists: list[RoundTrips]) -> list[RoundTrips]:
    """The lists of a query's pipeline, model and region; each may be given alone."""
    return [
        each
        for each in lists
        if query.pipeline in (None, each.model[0])
        and query.model in (None, each.model[1])
        and (query.region is None or each.region in (None, query.region))
    ]


def _ranges(plan: WindowPlan) -> list[tuple[datetime, datetime]]:
    """The ranges without a rollup. A statement reads one: several nodes can't compute a join with a list of ranges."""
    return [(from_pg_time(since), from_pg_time(until)) for since, until in plan.unmaterialized]


@lru_cache(maxsize=16)
def _pipelines(occurrences: tuple[Occurrence, ...], region: str | None) -> tuple[Pipeline, ...]:
    models: dict[str, set[str]] = {}
    regions: dict[str, set[str]] = {}
    for pipeline, model, code in occurrences:
        if region in (None, code):
            models.setdefault(pipeline, set()).add(model)
            regions.setdefault(pipeline, set()).add(code)
    return tuple(
        Pipeline(pipeline, tuple(sorted(models[pipeline])), tuple(sorted(regions[pipeline])))
        for pipeline in sorted(models)
    )
