"""DetailReader: what the results of any window, or of consecutive buckets of a window, add up to by series."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

from msgspec.structs import asdict

from orchboard.stats import PartQuery, SeriesQuery, Window
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.details.asked import Asked, Attempt, Read
from orchboard.store.details.details import EVERYTHING, Details, Medians, Needs
from orchboard.store.details.finishing import finish
from orchboard.store.details.plan_reader import NetworkPart, OrchestratorsPart, PlanReader
from orchboard.store.details.plans import (
    by_days,
    cost_of,
    has_tail,
    in_batches,
)
from orchboard.store.details.ranked_values import NotKeptError
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.admission import UNBOUNDED, Admission
from orchboard.store.postgres.clock import DatabaseClock, to_pg_time
from orchboard.store.postgres.reads import Reads
from orchboard.store.rollups.live_tail import OutdatedError
from orchboard.store.rollups.statistics import RollupRebuiltError
from orchboard.store.rollups.window_plan import Coverage, WindowPlan

T = TypeVar("T")

_POINT_BYTES = 1_000

# Points that are computed before others are served again.
_COMPUTED_AT_ONCE = 32


def one_by_one(compute: Callable[[Details], T]) -> Callable[[Sequence[Details]], list[T]]:
    """Compute each of some buckets by itself."""
    return lambda buckets: [compute(details) for details in buckets]


class DetailReader:
    """Reads details. Raises DatabaseUnavailableError, ClientBusyError, OverloadedError.

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
        self._regions = regions
        self._versions = versions
        self._clock = clock
        self._admission = admission
        self._plans = self._new_plan_reader()

    def _new_plan_reader(self) -> PlanReader:
        return PlanReader(self._database, self._regions, self._versions, self._clock)

    async def fetch(
        self, query: SeriesQuery, window: Window, needs: Needs = EVERYTHING, *, asked_at: float | None = None
    ) -> Details:
        """The details of a window; see `fetch_points`."""
        [details] = await self.fetch_buckets(query, self._edges(window), needs, asked_at=asked_at)
        return details

    async def fetch_buckets(
        self,
        query: SeriesQuery,
        edges: Sequence[datetime],
        needs: Needs = EVERYTHING,
        *,
        asked_at: float | None = None,
    ) -> list[Details]:
        """The details of each bucket; see `fetch_points`."""
        return await self.fetch_points(None, query, edges, list, needs, asked_at=asked_at)

    async def fetch_points(
        self,
        kind: Hashable,
        query: SeriesQuery,
        edges: Sequence[datetime],
        compute: Callable[[Sequence[Details]], Sequence[T]],
        needs: Needs = EVERYTHING,
        *,
        size: Callable[[T], int] = lambda _: _POINT_BYTES,
        asked_at: float | None = None,
    ) -> list[T]:
        """What `compute` makes of the details of each bucket [edges[i], edges[i + 1]) of receipt time. A bucket that can't change
        without notice is computed once.

        With NETWORK among the query's orchestrators, their results are also in series of the network.

        kind -- names what is computed; None: nothing is kept
        edges -- ascending, at least two
        compute -- takes the details of some of the buckets, at least one, and returns the point of each; see `one_by_one`
        needs -- what `compute` uses; the rest is left out
        size -- of a value in memory, in bytes
        asked_at -- time.monotonic of the request that this is a part of, which includes what was stored before; None: now
        """
        asked = Asked(kind, query, compute, needs, size)
        bounds = [to_pg_time(edge) for edge in edges]
        return await self._retried(lambda attempt: self._points(attempt, asked, bounds), asked_at)

    async def round_bounds(self, *, asked_at: float | None = None) -> Callable[[datetime], datetime]:
        """A function that returns the bound that is used for a bound of a window or bucket. See `Coverage.round_bound`.

        asked_at -- see `fetch_points`
        """

        async def read(attempt: Attempt) -> Callable[[datetime], datetime]:
            await attempt.reader.tail.refresh(attempt.requested_at)
            return attempt.reader.tail.coverage.round_bound

        return await self._retried(read, asked_at)

    async def parts(
        self, query: SeriesQuery, edges: Sequence[datetime], *, asked_at: float | None = None
    ) -> list[SeriesQuery]:
        """Queries that each select some of the orchestrators that a query selects, for the buckets of some edges.

        More than one if the details of a bucket may take too much memory together: see limits.DETAIL_PART_BYTES.
        """
        if query.orchestrators is not None or isinstance(query, PartQuery):
            return [query]
        bounds = [to_pg_time(edge) for edge in edges]

        async def read(attempt: Attempt) -> list[SeriesQuery]:
            ranges = await _planned(attempt, bounds, attempt.reader.ranges.of_plans)
            return [PartQuery(names=names, **asdict(query)) for names in ranges] or [query]

        return await self._retried(read, asked_at)

    async def hold(
        self,
        key: Hashable,
        window: Window,
        make: Callable[[], Awaitable[T]],
        *,
        size: Callable[[T], int],
        closed: Callable[[T], Window],
        asked_at: float,
    ) -> T:
        """What `make` computes from details of a window; held until a result of the window or a rollup changes.

        key -- names it, with all that it depends on but the window and results
        size -- of it in memory, in bytes
        closed -- a part of the window, which it is held for too: there is no result in the rest
        asked_at -- see `fetch_points`
        """

        async def refresh(attempt: Attempt) -> PlanReader:
            await attempt.reader.tail.refresh(attempt.requested_at)
            return attempt.reader

        reader = await self._retried(refresh, asked_at)
        found: T | None = reader.held.get(key, window)
        if found is None:
            version = reader.held.version()
            found = await make()
            for each in (window, closed(found)):
                reader.held.add(key, each, version, found, size(found))
        return found

    async def fetch_quantiles(
        self,
        query: SeriesQuery,
        window: Window,
        results: Mapping[str, int],
        *,
        asked_at: float | None = None,
    ) -> dict[str, list[float]]:
        """The quantiles FRACTIONS of the round trips of some orchestrators in a window, in seconds; NaN without any.

        query -- its orchestrators do not matter
        results -- how many results each of the orchestrators has, about
        asked_at -- see `fetch_points`
        """
        if not results:
            return {}
        bounds = [to_pg_time(edge) for edge in self._edges(window)]

        async def read(attempt: Attempt) -> dict[str, list[float]]:
            async def read_plan(coverage: Coverage, plans: Sequence[WindowPlan]) -> OrchestratorsPart:
                async with self._admission.admitted(cost_of(coverage, plans)):
                    return await attempt.reader.round_trips(query, plans[0], results, margin=attempt.margin)

            part = await _planned(attempt, bounds, read_plan)
            return attempt.reader.finish_quantiles(query, part)

        return await self._retried(read, asked_at)

    def _edges(self, window: Window) -> tuple[datetime, datetime]:
        return window.since, max(window.since, self._clock.exclusive_end_of(window))

    async def _retried(self, read: Callable[[Attempt], Awaitable[T]], asked_at: float | None) -> T:
        """What `read` returns; again when what is in memory turned out to be outdated, or not enough."""
        requested_at, margin = time.monotonic() if asked_at is None else asked_at, 0
        while True:
            reader = self._plans
            await asyncio.sleep(0)  # others are served meanwhile: a report reads several times
            try:
                return await read(Attempt(reader, requested_at, margin))
            except RollupRebuiltError:
                reader.tail.expire()
                requested_at = time.monotonic()
            except OutdatedError:
                await self._discard(reader)
            except NotKeptError as error:
                margin = error.margin

    async def _discard(self, reader: PlanReader) -> None:
        """Discard what is in memory, as it can't be refreshed; unless another call did so."""
        if self._plans is reader:
            self._plans = self._new_plan_reader()
            await self._regions.read()

    async def _points(self, attempt: Attempt, asked: Asked[T], bounds: Sequence[int]) -> list[T]:
        reader = attempt.reader

        async def read(
            coverage: Coverage, plans: Sequence[WindowPlan]
        ) -> tuple[dict[int, T], dict[int, Read]]:
            """The points without the tail, and what the others are computed from, by position."""
            if asked.reads_round_trips_of_network:
                plans = [by_days(coverage, plan) for plan in plans]
            found: dict[int, T] = {}
            if asked.kind is not None:
                kept = ((at, reader.points.get(asked.key(plan))) for at, plan in enumerate(plans))
                found = {at: point for at, point in kept if point is not None}
            missing = [at for at in range(len(plans)) if at not in found]
            late: dict[int, Read] = {}
            async with self._admission.admitted(cost_of(coverage, [plans[at] for at in missing])):
                known = len(reader.index)
                for batch in in_batches(missing, lambda at: asked.read_of(coverage, plans[at], known)):
                    chosen = [plans[at] for at in batch]
                    parts = dict(zip(batch, await _read(attempt, asked, coverage, chosen), strict=True))
                    late |= {at: part for at, part in parts.items() if has_tail(part.plan)}
                    whole = [at for at in batch if at not in late]
                    for some in in_batches(whole, lambda _: 0, at_most=_COMPUTED_AT_ONCE):
                        found |= finish(reader, asked, {at: parts[at] for at in some})
                        await asyncio.sleep(0)  # others are served meanwhile
            return found, late

        found, late = await _planned(attempt, bounds, read)
        found |= finish(reader, asked, late)  # without an await: the tail does not change
        return [found[at] for at in range(len(bounds) - 1)]


async def _planned(
    attempt: Attempt, bounds: Sequence[int], read: Callable[[Coverage, Sequence[WindowPlan]], Awaitable[T]]
) -> T:
    """What `read` returns for the plans of consecutive windows; again if the coverage or the tail has changed meanwhile."""
    tail = attempt.reader.tail
    await tail.refresh(attempt.requested_at)
    while True:
        planned_for = coverage, tail_since = tail.coverage, tail.since
        plans = [coverage.plan(since, until, tail_since=tail_since) for since, until in pairwise(bounds)]
        found = await read(coverage, plans)
        if (tail.coverage, tail.since) == planned_for:
            return found


async def _read(
    attempt: Attempt, asked: Asked[T], coverage: Coverage, plans: Sequence[WindowPlan]
) -> list[Read]:
    """Read some plans together."""
    reader = attempt.reader
    sums = await reader.read(asked.query, plans, asked.needs)
    medians: Sequence[Medians | NetworkPart | None] = [None] * len(plans)
    if asked.needs_network:
        medians = await reader.medians(asked.query.region, coverage, plans, margin=attempt.margin)
    return [Read(*each) for each in zip(plans, sums, medians, strict=True)]
