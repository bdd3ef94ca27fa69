"""Exact quantiles of round trips: counts by bin first, then only the values of the bin that contains the quantile."""

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence

import asyncpg
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from orchboard.store.rollups.group_index import PipelineModel
from orchboard.store.rollups.result_columns import Doubles

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
    """Round trips of successful AI results of one pipeline and model, in seconds.

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
