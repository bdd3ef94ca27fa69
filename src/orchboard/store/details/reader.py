"""DetailReader: what the results of any window, or of consecutive buckets of a window, add up to by series."""

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
from msgspec import Struct

from orchboard import limits
from orchboard.stats import JobType, SeriesQuery, Window
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.details.bucket_reader import BucketReader, Orchestrators
from orchboard.store.details.details import Details, Medians, medians_of
from orchboard.store.details.plans import cost_of, has_tail, is_one_bucket, is_settled, join_ranges, plan_key
from orchboard.store.details.result_details import DetailResultReader, ResultDetails, pages
from orchboard.store.details.series import NamedSeries, SeriesIndex
from orchboard.store.details.sums import NETWORK, SeriesSums, add_up, renumber
from orchboard.store.details.tail import DetailTail
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.admission import UNBOUNDED, Admission
from orchboard.store.postgres.clock import DatabaseClock, from_pg_time, to_pg_time
from orchboard.store.postgres.database import Database
from orchboard.store.rollups.entry_cache import EntryCache
from orchboard.store.rollups.live_tail import LiveTail, OutdatedError
from orchboard.store.rollups.statistics import RollupRebuiltError
from orchboard.store.rollups.window_plan import WindowPlan

T = TypeVar("T")

_NETWORK_QUERY = SeriesQuery(job_type=JobType.AI, orchestrators=frozenset([NETWORK]))

_POINT_BYTES = 1_000

# Buckets that are read at once.
_BATCH = 32

# Results without a rollup are read so many at a time.
_PAGE = 20_000


class _Memory(Struct):
    """What is in memory; discarded together when a region has changed."""

    index: SeriesIndex
    results: DetailResultReader
    content: DetailTail
    tail: LiveTail[ResultDetails]
    buckets: BucketReader
    points: EntryCache


class _Asked(Struct, Generic[T], frozen=True):
    """What is computed of each bucket; see `DetailReader.fetch_points`."""

    kind: Hashable
    query: SeriesQuery
    compute: Callable[[Details], T]
    with_medians: bool
    size: Callable[[T], int]

    def key(self, plan: WindowPlan) -> Hashable:
        """The key of a kept value."""
        return self.kind, self.query, plan_key(plan)


class DetailReader:
    """Reads details. Raises DatabaseUnavailableError, ClientBusyError, OverloadedError.

    Each answer includes every result that this host acknowledged before the call.
    """

    def __init__(
        self,
        database: Database,
        regions: RegionDirectory,
        versions: VersionCounters,
        clock: DatabaseClock,
        admission: Admission = UNBOUNDED,
    ) -> None:
        self._database = database
        self._regions = regions
        self._versions = versions
        self._clock = clock
        self._admission = admission
        self._memory = self._new_memory()

    def _new_memory(self) -> _Memory:
        index = SeriesIndex()
        names = NamedSeries(self._database, index, self._regions)
        results = DetailResultReader(names)
        content = DetailTail(results)
        return _Memory(
            index,
            results,
            content,
            LiveTail(self._database, content, self._versions, self._clock),
            BucketReader(self._database, names, results),
            EntryCache(limits.DETAIL_POINTS_BYTES, limits.DETAIL_CACHE_IDLE_S),
        )

    async def fetch(self, query: SeriesQuery, window: Window, *, with_medians: bool = True) -> Details:
        """The details of a window. with_medians -- False: leave the medians out"""
        edges = [window.since, max(window.since, self._clock.exclusive_end_of(window))]
        [details] = await self.fetch_buckets(query, edges, with_medians=with_medians)
        return details

    async def fetch_buckets(
        self, query: SeriesQuery, edges: Sequence[datetime], *, with_medians: bool = True
    ) -> list[Details]:
        """The details of each bucket [edges[i], edges[i + 1]) of receipt time. edges -- ascending, at least two

        with_medians -- False: leave the medians out
        With NETWORK among the query's orchestrators, their results are also in series of the network.
        """
        return await self.fetch_points(None, query, edges, lambda details: details, with_medians=with_medians)

    async def fetch_points(
        self,
        kind: Hashable,
        query: SeriesQuery,
        edges: Sequence[datetime],
        compute: Callable[[Details], T],
        *,
        with_medians: bool = True,
        size: Callable[[T], int] = lambda _: _POINT_BYTES,
    ) -> list[T]:
        """What `compute` makes of the details of each bucket. A bucket that can't change without notice is computed once.

        kind -- names what is computed; None: nothing is kept
        compute -- does not await
        with_medians -- False: `compute` does not use the medians, which may be a statement for each bucket
        size -- of a value in memory, in bytes
        """
        asked = _Asked(kind, query, compute, with_medians, size)
        requested_at = time.monotonic()
        bounds = [to_pg_time(edge) for edge in edges]
        if self._memory.results.is_full:
            await self._discard(self._memory)
        while True:
            memory = self._memory
            try:
                return await self._points(memory, asked, bounds, requested_at)
            except RollupRebuiltError:
                memory.tail.expire()
                requested_at = time.monotonic()
            except OutdatedError:
                await self._discard(memory)

    async def _discard(self, memory: _Memory) -> None:
        """Discard what is in memory, as it can't be refreshed; unless another call did so."""
        if self._memory is memory:
            self._memory = self._new_memory()
            await self._regions.read()

    async def _points(
        self,
        memory: _Memory,
        asked: _Asked[T],
        bounds: Sequence[int],
        requested_at: float,
    ) -> list[T]:
        tail = memory.tail
        await tail.refresh(requested_at)
        while True:
            planned_for = coverage, tail_since = tail.coverage, tail.since
            plans = [coverage.plan(since, until, tail_since=tail_since) for since, until in pairwise(bounds)]
            found: dict[int, T] = {}
            if asked.kind is not None:
                kept = ((at, memory.points.get(asked.key(plan))) for at, plan in enumerate(plans))
                found = {at: point for at, point in kept if point is not None}
            missing = [at for at in range(len(plans)) if at not in found]
            late: list[tuple[int, SeriesSums, Medians | SeriesSums | None]] = []
            async with self._admission.admitted(cost_of(coverage, [plans[at] for at in missing])):
                for first in range(0, len(missing), _BATCH):
                    batch = missing[first : first + _BATCH]
                    chosen = [plans[at] for at in batch]
                    parts = await self._read(memory, asked.query, chosen)
                    medians = await self._medians(memory, asked, chosen)
                    for at, sums, of_network in zip(batch, parts, medians, strict=True):
                        if has_tail(plans[at]):
                            late.append((at, sums, of_network))
                        else:
                            found[at] = self._finish(memory, asked, plans[at], sums, of_network)
                            await asyncio.sleep(0)  # others are served meanwhile
            if (tail.coverage, tail.since) == planned_for:
                break
        for at, sums, of_network in late:  # without an await: the tail does not change
            found[at] = self._finish(memory, asked, plans[at], sums, of_network)
        return [found[at] for at in range(len(plans))]

    def _finish(
        self,
        memory: _Memory,
        asked: _Asked[T],
        plan: WindowPlan,
        sums: SeriesSums,
        of_network: Medians | SeriesSums | None,
    ) -> T:
        """The point of a plan: from its parts outside the tail, and from the tail as it is now."""
        query = asked.query
        if isinstance(of_network, SeriesSums):
            network = self._with_tail(memory, _NETWORK_QUERY, plan, of_network)
            of_network = medians_of(memory.index, network, query.region)
            if is_settled(plan):
                memory.points.add(("medians", query.region, plan_key(plan)), of_network, _POINT_BYTES)
        point = asked.compute(_details(memory, query, self._with_tail(memory, query, plan, sums), of_network))
        if asked.kind is not None and is_settled(plan):
            memory.points.add(asked.key(plan), point, asked.size(point))
        return point

    async def _read(
        self, memory: _Memory, query: SeriesQuery, plans: Sequence[WindowPlan]
    ) -> list[SeriesSums]:
        """The sums of the parts of each plan that are not in the tail."""
        totals = await memory.buckets.totals([plan.buckets for plan in plans], _orchestrators(query))
        parts = [[total] for total in totals]
        for plan, found in zip(plans, parts, strict=True):
            edges = [await memory.buckets.partial(partial) for partial in plan.partial_buckets]
            found += (_chosen(memory, query, results) for results in edges)
        await self._add_unmaterialized(memory, query, plans, parts)
        return [found[0] if len(found) == 1 else add_up(found) for found in parts]

    async def _add_unmaterialized(
        self, memory: _Memory, query: SeriesQuery, plans: Sequence[WindowPlan], parts: list[list[SeriesSums]]
    ) -> None:
        """Add the sums of results without a rollup to the parts of each plan. Ranges that adjoin are read together."""
        ranges = sorted((*own, at) for at, plan in enumerate(plans) for own in plan.unmaterialized)
        for since, until in join_ranges([(since, until) for since, until, _ in ranges]):
            whole = from_pg_time(since), from_pg_time(until)
            async for page in pages(self._database.fetch, memory.results, *whole, _PAGE):
                first, last = int(page.event_time[0]), int(page.event_time[-1])
                for own_since, own_until, at in ranges:
                    if own_since <= last and first < own_until:
                        own = _chosen(memory, query, page.between(own_since, own_until))
                        parts[at] = [add_up([*parts[at], own])]  # at once: there may be a thousand pages

    async def _medians(
        self, memory: _Memory, asked: _Asked[T], plans: Sequence[WindowPlan]
    ) -> Sequence[Medians | SeriesSums | None]:
        """The medians of each plan, or the sums of the network without the tail that they are computed from. None: they are
        computed from what `_read` returns."""
        query = asked.query
        if not asked.with_medians or query.job_type is JobType.TRANSCODING:
            return [{}] * len(plans)
        if query.orchestrators is None:
            return [None] * len(plans)
        found: list[Medians | SeriesSums | None] = [
            memory.points.get(("medians", query.region, plan_key(plan))) for plan in plans
        ]
        missing = [at for at, medians in enumerate(found) if medians is None]
        whole = [at for at in missing if query.region is None and is_one_bucket(plans[at])]
        summaries = await memory.buckets.summaries([plans[at].buckets[0] for at in whole]) if whole else []
        for at, summary in zip(whole, summaries, strict=True):
            found[at] = {(key.pipeline, key.model): values[0] for key, values in summary.items() if key.model}
        rest = [at for at in missing if found[at] is None]
        for at in rest:  # one after the other: bounds the memory
            [found[at]] = await self._read(memory, _NETWORK_QUERY, [plans[at]])
        return found

    def _with_tail(
        self, memory: _Memory, query: SeriesQuery, plan: WindowPlan, sums: SeriesSums
    ) -> SeriesSums:
        if not has_tail(plan):
            return sums
        results = memory.content.between(*plan.tail)
        return add_up([sums, _chosen(memory, query, results)]) if len(results.event_time) else sums


def _orchestrators(query: SeriesQuery) -> Orchestrators:
    return None if query.orchestrators is None else tuple(sorted(query.orchestrators))


def _chosen(memory: _Memory, query: SeriesQuery, results: ResultDetails) -> SeriesSums:
    """The sums of results by series; with those of the network if it is among the orchestrators of a query."""
    sums = memory.results.sums(results)
    if query.orchestrators is None:
        return sums
    own = memory.index.mask(SeriesQuery(orchestrators=query.orchestrators))
    parts = [sums.select(np.flatnonzero(own[sums.series]))]
    if NETWORK in query.orchestrators:
        parts.append(renumber(sums, memory.index.pooled(sums.series)))
    return add_up(parts)


def _details(memory: _Memory, query: SeriesQuery, sums: SeriesSums, medians: Medians | None) -> Details:
    selected = memory.index.mask(query)[sums.series]
    if medians is None:
        medians = medians_of(memory.index, sums, query.region)
    return Details(memory.index, sums.select(np.flatnonzero(selected)), medians)
