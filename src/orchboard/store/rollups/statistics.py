"""Statistics of groups, from rollups and from raw results: sums and means of the measures, exact quantiles of round trips.

Quantiles count by bin first, then read only the values of the bin that contains the quantile.
"""

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence

import asyncpg
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from orchboard.stats import StatsQuery
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.group_index import GroupIndex, Indices, PipelineModel, unique_inverse
from orchboard.store.rollups.pairs import Pairs
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
    """Means over groups of results: of one pair, for AI also of one pipeline and model. Times in seconds.

    pairs -- (orchestrator, region), sorted; each has at least one group
    models -- (pipeline, model), in no order
    pair, model -- of each group, the index in `pairs` and in `models`, shape (groups,)
    results -- the number of each group, at least 1
    means -- of the measures, shape (measures, groups), in the order of MEASURES
    """

    pairs: Pairs
    models: list[PipelineModel]
    pair: Indices
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
    return _group_sums(await index.groups_of_rows(rows), rows)


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


# Sums of this many groups, each with 40 bytes, are added up before more are read.
_MAX_ADDENDS = 500_000


class RunningSums:
    """Sums that are added up as they come, in this order, so that memory does not grow with the number of buckets.

    parts -- of which the total is the sum; mostly all that were added, as these are few
    """

    def __init__(self, index: GroupIndex) -> None:
        self.parts: list[GroupSums] = []
        self._index = index
        self._addends = 0

    def add(self, part: GroupSums) -> None:
        """Add sums of the index's groups."""
        self.parts.append(part)
        self._addends += len(part.groups)
        if self._addends > _MAX_ADDENDS and len(self.parts) > 1:
            self.parts = [add_up(self.parts, [], len(self._index))]
            self._addends = 0


def means_of(index: GroupIndex, sums: GroupSums, query: StatsQuery) -> Means:
    """The sums of the groups that the query selects, divided by their results."""
    pair, model = index.pairs_and_models(sums.groups)
    selected = np.ones(len(pair), np.bool_)
    if query.orchestrator is not None or query.region is not None:
        selected &= index.pairs_where(query.orchestrator, query.region)[pair]
    if query.pipeline is not None or query.model is not None:
        is_selected = [
            query.pipeline in (None, pipeline) and query.model in (None, name)
            for pipeline, name in index.models
        ]
        selected &= np.array(is_selected, np.bool_)[model]
    results, totals = sums.results, sums.sums
    if not selected.all():
        pair, model, results, totals = pair[selected], model[selected], results[selected], totals[:, selected]
    pairs, ranks = index.sorted_pairs()
    present, pair = unique_inverse(ranks[pair], len(ranks))
    return Means(
        pairs.select(present),
        index.models,
        pair,
        model,
        results.astype(np.float64, copy=False),
        totals / results,
    )


BINS = 1792
"""64 bins for each power of two from 2^-14 s to 2^14 s; the first and last also hold what is outside."""

_LOWEST, _HIGHEST = 2.0**-14, 2.0**14
_FIRST_BITS = int(np.float64(_LOWEST).view(np.int64)) >> 46

FetchSlices = Callable[[list[int], list[int], list[int]], Awaitable[Sequence[asyncpg.Record]]]
"""Runs `round_trip_slices`: ids, first elements, lengths."""


class RollupRebuiltError(Exception):
    """A bucket was rebuilt after the coverage was read: read the coverage again."""


def bins_of(round_trips: Doubles) -> NDArray[np.int64]:
    """The bin of each round trip, from 0 to BINS - 1, from the same bits as `round_trip_bin` in SQL.

    >>> bins_of(np.array([-1.0, 2.0**-14, 1.0, 1e9])).tolist()
    [0, 0, 896, 1791]
    """
    within = np.clip(round_trips, _LOWEST, np.nextafter(_HIGHEST, 0))
    return (within.view(np.int64) >> 46) - _FIRST_BITS


class RoundTrips(Struct, frozen=True):
    """Round trips of successful AI results of one pipeline and model, in seconds, of all orchestrators.

    region -- code of their region; None if they were selected by region before
    values -- in any order; None for a long list, of which only the counts were read
    id -- of the long list; first_bin, counts -- its numbers of round trips by bin, from that bin on
    """

    model: PipelineModel
    region: str | None
    values: Doubles | None
    id: int = 0
    first_bin: int = 0
    counts: NDArray[np.integer] = np.zeros(0, np.uint8)

    @classmethod
    def of_row(cls, row: asyncpg.Record, region: str) -> "RoundTrips":
        """A row of `bucket_round_trips`."""
        model = row["pipeline"], row["model"]
        if row["bin_counts"] is None:
            return cls(model, region, read_doubles(row["round_trips"]))
        counts = np.frombuffer(row["bin_counts"], ">i4")
        compact = counts.astype(
            np.min_scalar_type(counts.max(initial=0))
        )  # mostly one byte; there are many lists
        return cls(model, region, None, row["id"], row["first_bin"], compact)

    @property
    def size(self) -> int:
        """Bytes in memory, approximately."""
        return 200 + self.counts.nbytes + (0 if self.values is None else self.values.nbytes)

    def slice_of(self, low: int, high: int) -> tuple[int, int]:
        """The first element of the bins from `low` to `high` in the long list, and their number of elements."""
        low, high = (min(max(edge - self.first_bin, 0), len(self.counts)) for edge in (low, high + 1))
        return int(self.counts[:low].sum()), int(self.counts[low:high].sum())


class _Group:
    """All round trips of one pipeline and model: `values` that were read, and lists that are only counted."""

    def __init__(self, lists: Sequence[RoundTrips], fraction: float) -> None:
        values = [each.values for each in lists if each.values is not None]
        self.values = np.concatenate(values) if values else np.zeros(0)
        self._counted = [each for each in lists if each.values is None]
        number = len(self.values) + sum(int(each.counts.sum()) for each in self._counted)
        rank = fraction * (number - 1)
        self._ranks = math.floor(rank), math.ceil(rank)
        self._weight = rank - self._ranks[0]
        self._before = 0

    def narrow(self) -> list[tuple[int, int, int]]:
        """Drop the values outside the bins that contain the quantile.

        Returns the slices of the counted lists that must be read: id, first element, number of elements.
        """
        if not self._counted:
            return []
        bins = bins_of(self.values)
        totals = np.bincount(bins, minlength=BINS)
        for each in self._counted:
            totals[each.first_bin : each.first_bin + len(each.counts)] += each.counts
        reached = np.cumsum(totals)
        low, high = (int(np.searchsorted(reached, rank, "right")) for rank in self._ranks)
        self._before = int(reached[low] - totals[low])
        self.values = self.values[(bins >= low) & (bins <= high)]
        slices = [(each.id, *each.slice_of(low, high)) for each in self._counted]
        return [each for each in slices if each[2]]

    def quantile(self) -> float:
        """Equal to PostgreSQL's percentile_cont, to the last bit."""
        first, second = (rank - self._before for rank in self._ranks)
        values = np.partition(self.values, [first, second])
        return float(values[first] + self._weight * (values[second] - values[first]))


async def quantiles_of(
    lists: Iterable[RoundTrips], fraction: float, fetch_slices: FetchSlices
) -> dict[PipelineModel, float]:
    """A quantile of the round trips of each pipeline and model, in seconds, interpolated. Raises RollupRebuiltError.

    fraction -- from 0 to 1; 0.5 is the median
    """
    grouped: dict[PipelineModel, list[RoundTrips]] = {}
    for each in lists:
        grouped.setdefault(each.model, []).append(each)
    groups = {model: _Group(of_model, fraction) for model, of_model in grouped.items()}
    slices = [(group, part) for group in groups.values() for part in group.narrow()]
    if slices:
        ids, firsts, numbers = (list(column) for column in zip(*(part for _, part in slices), strict=True))
        found = {row["id"]: row["round_trips"] for row in await fetch_slices(ids, firsts, numbers)}
        for group, part in slices:
            if part[0] not in found:
                raise RollupRebuiltError
            group.values = np.concatenate([group.values, read_doubles(found[part[0]])])
    return {model: group.quantile() for model, group in groups.items()}


def read_doubles(sent: bytes) -> Doubles:
    """Big-endian doubles as the database sends them."""
    return np.frombuffer(sent, ">f8").astype(np.float64)
