"""PlanReader: the sums of window plans by series, from rollups, from results without a rollup, and from the live tail."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from orchboard import limits
from orchboard.stats import JobType, PartQuery, SeriesQuery
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.details.bucket_reader import BucketReader, Wanted
from orchboard.store.details.details import Medians, Needs
from orchboard.store.details.error_sums import NO_ERRORS
from orchboard.store.details.held_windows import HeldWindows
from orchboard.store.details.name_ranges import NameRanges
from orchboard.store.details.plans import (
    by_days,
    divide,
    has_tail,
    is_one_bucket,
    is_settled,
    join_ranges,
    plan_key,
)
from orchboard.store.details.quantiles import quantiles_of
from orchboard.store.details.ranked_reader import FRACTIONS, RankedReader, grouped_values
from orchboard.store.details.ranked_values import NO_VALUES, RankedValues, split_runs
from orchboard.store.details.result_details import DetailResultReader, ResultDetails, pages
from orchboard.store.details.series import NamedSeries
from orchboard.store.details.series_index import SeriesIndex
from orchboard.store.details.series_keys import orchestrator_of
from orchboard.store.details.summary import medians_in
from orchboard.store.details.sums import NETWORK, SeriesSums, add_up, renumber
from orchboard.store.details.tail import DetailTail
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.clock import DatabaseClock, from_pg_time
from orchboard.store.postgres.reads import Reads
from orchboard.store.rollups.entry_cache import EntryCache
from orchboard.store.rollups.group_index import PipelineModel
from orchboard.store.rollups.live_tail import LiveTail
from orchboard.store.rollups.window_plan import Coverage, WindowPlan

_NETWORK_QUERY = SeriesQuery(job_type=JobType.AI, orchestrators=frozenset([NETWORK]))

# Results without a rollup are read so many at a time.
_PAGE = 20_000

_ROUND_TRIPS = Needs(round_trips=True)

_MEDIANS_BYTES = 1_000


class NetworkPart(Struct, frozen=True):
    """The AI round trips of the network in a plan, without the tail.

    plan -- in buckets of at most a day
    ranked -- in its long buckets, by pipeline and model; sums -- of the rest
    """

    plan: WindowPlan
    ranked: Mapping[PipelineModel, RankedValues]
    sums: SeriesSums


class OrchestratorsPart(Struct, frozen=True):
    """The round trips of some orchestrators in a plan, without the tail.

    ranked -- in its long buckets, by orchestrator; sums -- of the rest
    """

    plan: WindowPlan
    ranked: Mapping[str, RankedValues]
    sums: SeriesSums


class PlanReader:
    """Reads plans, and holds what it read in memory; discarded when a region or tester has changed.

    index -- of all series; tail -- the newest results; points -- what was computed of settled plans; held -- of windows
    ranges -- of orchestrators whose details are read together
    Reads raise RollupRebuiltError and DatabaseUnavailableError.
    """

    def __init__(
        self, database: Reads, regions: RegionDirectory, versions: VersionCounters, clock: DatabaseClock
    ) -> None:
        self._database = database
        self.index = SeriesIndex()
        names = NamedSeries(database, self.index, regions)
        self._results = DetailResultReader(names)
        self._content = DetailTail(self._results)
        self._buckets = BucketReader(database, names, self._results)
        self._ranked = RankedReader(self.index, self._buckets)
        self.tail: LiveTail[ResultDetails] = LiveTail(database, self._content, versions, clock)
        self.held = HeldWindows(self.tail, self._content)
        self.ranges = NameRanges(database)
        self.points = EntryCache(limits.DETAIL_POINTS_BYTES, limits.DETAIL_CACHE_IDLE_S)

    async def read(self, query: SeriesQuery, plans: Sequence[WindowPlan], needs: Needs) -> list[SeriesSums]:
        """The sums of the parts of each plan that are not in the tail, of the orchestrators of a query."""
        orchestrators = None if query.orchestrators is None else tuple(sorted(query.orchestrators))
        names = query.names if isinstance(query, PartQuery) else None
        wanted = Wanted(orchestrators, needs.round_trips, needs.errors, names)
        # Of the single buckets of a history, and of ranges of names, what is computed is held.
        windows = [(plan.buckets, names is None and not is_one_bucket(plan)) for plan in plans]
        parts = [[sums] for sums in await self._buckets.totals(windows, wanted)]
        for plan, found in zip(plans, parts, strict=True):
            edges = [await self._buckets.partial(partial) for partial in plan.partial_buckets]
            found += (each for results in edges for each in self._chosen(query, results, needs))
        await self._add_unmaterialized(query, plans, parts, needs)
        return [found[0] if len(found) == 1 else add_up(found) for found in parts]

    async def _add_unmaterialized(
        self,
        query: SeriesQuery,
        plans: Sequence[WindowPlan],
        parts: list[list[SeriesSums]],
        needs: Needs,
    ) -> None:
        """Add the sums of results without a rollup to the parts of each plan. Ranges that adjoin are read together."""
        ranges = sorted((*own, at) for at, plan in enumerate(plans) for own in plan.unmaterialized)
        for since, until in join_ranges([(since, until) for since, until, _ in ranges]):
            whole = from_pg_time(since), from_pg_time(until)
            async for page in pages(self._database.fetch, self._results, *whole, _PAGE):
                first, last = int(page.event_time[0]), int(page.event_time[-1])
                for own_since, own_until, at in ranges:
                    if own_since <= last and first < own_until:
                        own = self._chosen(query, page.between(own_since, own_until), needs)
                        parts[at] = [add_up([*parts[at], *own])]  # at once: there may be a thousand pages

    def with_tail(self, query: SeriesQuery, plan: WindowPlan, sums: SeriesSums, needs: Needs) -> SeriesSums:
        """The sums of `read` with those of the tail, as it is now."""
        parts = self._with_tail(query, plan, sums, needs)
        return add_up(parts) if len(parts) > 1 else sums

    def _with_tail(
        self, query: SeriesQuery, plan: WindowPlan, sums: SeriesSums, needs: Needs
    ) -> list[SeriesSums]:
        """Parts of the sums of `read` and of the tail."""
        tail = self._content.sums.of(*plan.tail) if has_tail(plan) else []
        return [
            sums,
            *(each for part in tail for each in self._of_orchestrators(query, _needed(part, needs))),
        ]

    async def medians(
        self, region: str | None, coverage: Coverage, plans: Sequence[WindowPlan], *, margin: int
    ) -> list[Medians | NetworkPart]:
        """The medians of each plan, or what `finish_medians` computes them from.

        coverage -- that the plans are by; margin -- see RankedReader
        """
        plans = [by_days(coverage, plan) for plan in plans]
        found: list[Medians | NetworkPart | None] = [
            self.points.get(_medians_key(region, plan)) for plan in plans
        ]
        missing = [at for at, medians in enumerate(found) if medians is None]
        single = [at for at in missing if region is None and is_one_bucket(plans[at])]
        summaries = await self._buckets.summaries([plans[at].buckets[0] for at in single]) if single else []
        for at, summary in zip(single, summaries, strict=True):
            found[at] = medians_in(summary)
        for at in missing:
            if found[at] is None:  # one after the other: bounds the memory
                long, rest = divide(plans[at])
                ranked = await self._ranked.of_models(region, long, coverage.results_of, margin=margin)
                [sums] = await self.read(_NETWORK_QUERY, [rest], _ROUND_TRIPS)
                found[at] = NetworkPart(plans[at], ranked, sums)
        return [each for each in found if each is not None]

    def finish_medians(self, region: str | None, found: Medians | NetworkPart) -> Medians:
        """The medians of a plan. found -- by `medians`. Raises NotKeptError"""
        if not isinstance(found, NetworkPart):
            return found
        parts = self._with_tail(_NETWORK_QUERY, found.plan, found.sums, _ROUND_TRIPS)
        new = self._ranked.by_model(region, parts)
        medians = {}
        for model in sorted(found.ranked.keys() | new.keys()):
            ranked, values = found.ranked.get(model, NO_VALUES), new.get(model, NO_VALUES.segments[0])
            if ranked.number or len(values):
                [medians[model]] = ranked.quantiles(values, [0.5])
        if is_settled(found.plan):
            self.points.add(_medians_key(region, found.plan), medians, _MEDIANS_BYTES)
        return medians

    async def round_trips(
        self, query: SeriesQuery, plan: WindowPlan, results: Mapping[str, int], *, margin: int
    ) -> OrchestratorsPart:
        """What `finish_quantiles` computes the quantiles of orchestrators from. results, margin -- see RankedReader"""
        long, rest = divide(plan)
        query = replace(query, orchestrators=None)
        [sums] = await self.read(replace(query, orchestrators=frozenset(results)), [rest], _ROUND_TRIPS)
        position = self.index.column(orchestrator_of).positions(list(results))[sums.series]
        others = np.bincount(position, sums.round_trip_counts, len(results)).astype(np.int64)
        margins = {name: margin + each for name, each in zip(results, others.tolist(), strict=True)}
        ranked = await self._ranked.of_orchestrators(query, long, results, margins)
        return OrchestratorsPart(plan, ranked, sums)

    def finish_quantiles(self, query: SeriesQuery, found: OrchestratorsPart) -> dict[str, list[float]]:
        """The quantiles of each orchestrator in the order of FRACTIONS; NaN without any. Raises NotKeptError"""
        names = list(found.ranked)
        query = replace(query, orchestrators=frozenset(names))
        parts = self._with_tail(query, found.plan, found.sums, _ROUND_TRIPS)
        values, group = grouped_values(self.index, parts, query, names, orchestrator_of)
        ranked = list(found.ranked.values())
        whole = [at for at, each in enumerate(ranked) if each.is_whole]
        kept = [np.concatenate(ranked[at].segments) for at in whole]
        # Those that are kept whole, which is most of them in short windows, are computed together.
        of_whole = quantiles_of(
            np.concatenate([values, *kept]),
            np.concatenate([group, np.repeat(np.array(whole, np.int64), list(map(len, kept)))]),
            len(names),
            FRACTIONS,
        )
        found_quantiles = dict(zip(names, of_whole.tolist(), strict=True))
        if len(whole) < len(names):
            runs = split_runs(values, group, len(names))
            for at in set(range(len(names))) - set(whole):
                found_quantiles[names[at]] = ranked[at].quantiles(runs[at], FRACTIONS)
        return found_quantiles

    def _chosen(self, query: SeriesQuery, results: ResultDetails, needs: Needs) -> list[SeriesSums]:
        """The sums of results by series, of the orchestrators of a query, in parts that are to be added up."""
        if (asked := _of_names(query)) is not None and NETWORK not in (query.orchestrators or ()):
            own = self.index.mask(asked)
            results = results.select((results.series >= 0) & own[results.series])
        sums = self._results.sums(results, with_errors=needs.errors)
        return self._of_orchestrators(query, _needed(sums, needs))

    def _of_orchestrators(self, query: SeriesQuery, sums: SeriesSums) -> list[SeriesSums]:
        """Those of the orchestrators of a query; with those of the network if it is among them; in parts that are to be added up."""
        asked = _of_names(query)
        if asked is None:
            return [sums]
        parts = []
        if NETWORK in (asked.orchestrators or ()):
            parts.append(renumber(sums, self.index.pooled(sums.series)))
        if asked.orchestrators != frozenset([NETWORK]):
            own = self.index.mask(asked)
            parts.append(sums.select(np.flatnonzero(own[sums.series])))
        return parts


def _of_names(query: SeriesQuery) -> SeriesQuery | None:
    """A query for the series of the orchestrators of a query; None for all orchestrators."""
    if isinstance(query, PartQuery):
        return PartQuery(names=query.names)
    return None if query.orchestrators is None else SeriesQuery(orchestrators=query.orchestrators)


def _needed(sums: SeriesSums, needs: Needs) -> SeriesSums:
    """The same sums without what is not needed."""
    if not needs.round_trips:
        sums = sums.without_round_trips()
    return sums if needs.errors else replace(sums, errors=NO_ERRORS)


def _medians_key(region: str | None, plan: WindowPlan) -> Hashable:
    return "medians", region, plan_key(plan)
