"""Reads the round trips of long windows in pieces, and holds those near the quantiles that are asked for."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from orchboard import limits
from orchboard.stats import JobType, SeriesQuery
from orchboard.store.details.bucket_reader import BucketReader, Wanted
from orchboard.store.details.plans import in_batches
from orchboard.store.details.ranked_values import WHOLE, RankedValues, split_runs
from orchboard.store.details.series_index import SeriesIndex
from orchboard.store.details.series_keys import SeriesKey, model_of, orchestrator_of
from orchboard.store.details.summary import medians_in
from orchboard.store.details.sums import NETWORK, SeriesSums
from orchboard.store.rollups.entry_cache import EntryCache
from orchboard.store.rollups.group_index import Indices, PipelineModel
from orchboard.store.rollups.result_columns import Doubles
from orchboard.store.rollups.window_plan import BucketKey

K = TypeVar("K", bound=Hashable)

FRACTIONS = (0.5, 0.9, 0.99)
"""The quantiles of orchestrators that values are held near."""

Count = Callable[[BucketKey], int]
"""The number of results in a bucket."""


_Bounds = tuple[float, float]
"""The least value, and the one before which they end."""

_UNBOUNDED: _Bounds = -np.inf, np.inf


class _Pieces:
    """Values that are read in pieces. Those outside of bounds are only counted, once there are too many to hold them all.

    below -- how many were below; number -- of all
    """

    def __init__(self, bounds: _Bounds) -> None:
        self._bounds = bounds
        self._is_bounded = False
        self.values: list[Doubles] = []
        self.below = 0
        self.number = 0

    def add(self, values: Doubles) -> None:
        """Add some. values -- ascending"""
        self.number += len(values)
        if self._is_bounded:
            self.values.append(self._within(values))
            return
        self.values.append(values)
        if self.number > WHOLE:
            self._is_bounded = True
            self.values = [self._within(each) for each in self.values]

    def _within(self, values: Doubles) -> Doubles:
        low, high = np.searchsorted(values, self._bounds, "left").tolist()
        self.below += low
        return values[low:high].copy()


class RankedReader:
    """Reads materialized buckets. Reads raise RollupRebuiltError and DatabaseUnavailableError."""

    def __init__(self, index: SeriesIndex, buckets: BucketReader) -> None:
        self._index = index
        self._buckets = buckets
        self._cache = EntryCache(limits.DETAIL_RANKS_BYTES, limits.DETAIL_CACHE_IDLE_S)

    async def of_orchestrators(
        self,
        query: SeriesQuery,
        buckets: tuple[BucketKey, ...],
        results: Mapping[str, int],
        margins: Mapping[str, int],
    ) -> dict[str, RankedValues]:
        """The round trips of some orchestrators that a query selects.

        query -- without orchestrators
        results -- how many results each orchestrator has, about
        margins -- how many others each must be enough for; see RankedValues
        """
        kept: dict[str, RankedValues] = {}
        for name in results:
            held = self._cache.get((buckets, query, name))
            if held is not None and held.margin >= margins[name]:
                kept[name] = held
        missing = sorted(results.keys() - kept.keys())
        for names in in_batches(missing, results.__getitem__, at_most=len(missing)):
            found = await self._read_orchestrators(query, buckets, names)
            for name, values in zip(names, found, strict=True):
                kept[name] = ranked = RankedValues.near(values, FRACTIONS, margin=2 * margins[name])
                self._cache.add((buckets, query, name), ranked, ranked.size)
        return kept

    async def _read_orchestrators(
        self, query: SeriesQuery, buckets: Sequence[BucketKey], names: Sequence[str]
    ) -> list[Doubles]:
        """The values of each orchestrator, ascending."""
        found = await self._buckets.totals([(buckets, False)], Wanted(tuple(names), round_trips=True))
        return values_by(self._index, found, query, names, orchestrator_of)

    async def of_models(
        self, region: str | None, buckets: tuple[BucketKey, ...], count: Count, *, margin: int = 0
    ) -> dict[PipelineModel, RankedValues]:
        """The round trips of each AI pipeline and model, of all orchestrators; held near the median.

        margin -- how many others they must be enough for, at least
        """
        key = buckets, region
        held: dict[PipelineModel, RankedValues] | None = self._cache.get(key)
        if held is not None and all(values.margin >= margin for values in held.values()):
            return held
        bounds = {} if margin or region is not None else await self._bounds(buckets)
        pieces: dict[PipelineModel, _Pieces] = {}
        for batch in in_batches(buckets, count):
            read = await self._buckets.totals([(batch, False)], Wanted((NETWORK,), round_trips=True))
            for model, values in self.by_model(region, read).items():
                pieces.setdefault(model, _Pieces(bounds.get(model, _UNBOUNDED))).add(values)
        found = {
            model: RankedValues.near(
                np.concatenate(own.values), [0.5], below=own.below, number=own.number, margin=margin
            )
            for model, own in pieces.items()
        }
        self._cache.add(key, found, sum(each.size for each in found.values()))
        return found

    async def _bounds(self, buckets: Sequence[BucketKey]) -> dict[PipelineModel, _Bounds]:
        """A range about each model's median: those of its buckets, and some more."""
        found: dict[PipelineModel, list[float]] = {}
        for summary in await self._buckets.summaries(buckets):
            for model, median in medians_in(summary).items():
                found.setdefault(model, []).append(median)
        return {model: (min(medians) * 0.9, max(medians) * 1.1) for model, medians in found.items()}

    def by_model(self, region: str | None, sums: Iterable[SeriesSums]) -> dict[PipelineModel, Doubles]:
        """The round trips of each AI pipeline and model in some sums of the network, ascending."""
        query = SeriesQuery(job_type=JobType.AI, region=region, orchestrators=frozenset([NETWORK]))
        parts = list(sums)
        present = np.concatenate([part.series for part in parts])
        models, _ = self._index.grouped(present[self._index.mask(query)[present]], model_of)
        return dict(zip(models, values_by(self._index, parts, query, models, model_of), strict=True))


def values_by(
    index: SeriesIndex,
    parts: Iterable[SeriesSums],
    query: SeriesQuery,
    keys: Sequence[K],
    key: SeriesKey[K],
) -> list[Doubles]:
    """The round trips of each key that a query selects, ascending. key -- see `SeriesIndex.column`"""
    return split_runs(*grouped_values(index, parts, query, keys, key), len(keys))


def grouped_values(
    index: SeriesIndex,
    parts: Iterable[SeriesSums],
    query: SeriesQuery,
    keys: Sequence[K],
    key: SeriesKey[K],
) -> tuple[Doubles, Indices]:
    """The round trips of some sums, and the position in `keys` of each; -1: the query does not select it."""
    found = [part for part in parts if len(part.round_trips)]
    if not found:
        return np.zeros(0), np.zeros(0, np.int64)
    of_series = np.where(index.mask(query), index.column(key).positions(keys), -1)
    groups = [of_series[part.series][part.round_trip_entries] for part in found]
    return np.concatenate([part.round_trips for part in found]), np.concatenate(groups)
