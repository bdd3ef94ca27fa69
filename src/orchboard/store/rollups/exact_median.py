"""Exact medians of round trips: counts in buckets first, then the one bucket in which the median is."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

import asyncpg
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

BUCKETS = 1792
"""64 to an octave from 2^-14 s to 2^14 s, the first and last for what is outside."""

_LOWEST, _HIGHEST = 2.0**-14, 2.0**14
_FIRST_BITS = int(np.float64(_LOWEST).view(np.int64)) >> 46

FetchSlices = Callable[[list[int], list[int], list[int]], Awaitable[Sequence[asyncpg.Record]]]
"""Asks `round_trip_slices`: ids, where each part begins, how many doubles it has."""

PipelineModel: TypeAlias = tuple[str, str]


class RollupRebuiltError(Exception):
    """A span was summed up again since the last look at the coverage: look again."""


def buckets_of(round_trips: Doubles) -> NDArray[np.int64]:
    """The bucket of each round trip, from 0 to BUCKETS - 1, by the bits that `round_trip_bucket` takes in SQL.

    >>> buckets_of(np.array([-1.0, 2.0**-14, 1.0, 1e9])).tolist()
    [0, 0, 896, 1791]
    """
    within = np.clip(round_trips, _LOWEST, np.nextafter(_HIGHEST, 0))
    return (within.view(np.int64) >> 46) - _FIRST_BITS


class RoundTrips(Struct, frozen=True):
    """Round trips of successful AI results of one pipeline and model, in seconds.

    region -- code of the region they come from; None when that was decided on before
    values -- in any order; None for a long list of which only the counts were read
    id -- of the long list; first_bucket, counts -- how many are in each bucket, from which on
    """

    model: PipelineModel
    region: str | None
    values: Doubles | None
    id: int = 0
    first_bucket: int = 0
    counts: NDArray[np.integer] = np.zeros(0, np.uint8)

    @classmethod
    def of_row(cls, row: asyncpg.Record, region: str) -> "RoundTrips":
        """A row of `round_trips`."""
        model = row["pipeline"], row["model"]
        if row["buckets"] is None:
            return cls(model, region, read_doubles(row["round_trips"]))
        counts = np.frombuffer(row["buckets"], ">i4")
        counts = counts.astype(
            np.min_scalar_type(counts.max(initial=0))
        )  # a byte, mostly: there are many lists
        return cls(model, region, None, row["id"], row["first_bucket"], counts)

    @property
    def size(self) -> int:
        """Bytes it takes, about."""
        return 200 + self.counts.nbytes + (0 if self.values is None else self.values.nbytes)

    def slice_of(self, low: int, high: int) -> tuple[int, int]:
        """Where the round trips of the buckets from `low` to `high` begin in a long list, and how many there are."""
        low, high = (min(max(bucket - self.first_bucket, 0), len(self.counts)) for bucket in (low, high + 1))
        return int(self.counts[:low].sum()), int(self.counts[low:high].sum())


class _Group:
    """All round trips of one pipeline and model: `values` that were read, and lists only counted."""

    def __init__(self, lists: Sequence[RoundTrips]) -> None:
        values = [each.values for each in lists if each.values is not None]
        self.values = np.concatenate(values) if values else np.zeros(0)
        self._counted = [each for each in lists if each.values is None]
        self._number = len(self.values) + sum(int(each.counts.sum()) for each in self._counted)
        self._before = 0

    def narrow(self) -> list[tuple[int, int, int]]:
        """Keep of `values` only what is in the buckets of the two middle round trips.

        Returns what is to be read of the counted lists: id, where the part begins, how many there are.
        """
        if not self._counted:
            return []
        buckets = buckets_of(self.values)
        totals = np.bincount(buckets, minlength=BUCKETS)
        for each in self._counted:
            totals[each.first_bucket : each.first_bucket + len(each.counts)] += each.counts
        reached = np.cumsum(totals)
        low, high = (int(np.searchsorted(reached, rank, "right")) for rank in self._middle())
        self._before = int(reached[low] - totals[low])
        self.values = self.values[(buckets >= low) & (buckets <= high)]
        parts = [(each.id, *each.slice_of(low, high)) for each in self._counted]
        return [part for part in parts if part[2]]

    def median(self) -> float:
        """As PostgreSQL's percentile_cont(0.5) has it, to the last bit."""
        first, second = (rank - self._before for rank in self._middle())
        values = np.partition(self.values, [first, second])
        return float(values[first] + 0.5 * (values[second] - values[first]))

    def _middle(self) -> tuple[int, int]:
        return (self._number - 1) // 2, self._number // 2


async def medians_of(lists: Iterable[RoundTrips], fetch_slices: FetchSlices) -> dict[PipelineModel, float]:
    """The median round trip of each pipeline and model, in seconds. Raises RollupRebuiltError."""
    grouped: dict[PipelineModel, list[RoundTrips]] = {}
    for each in lists:
        grouped.setdefault(each.model, []).append(each)
    groups = {model: _Group(of_model) for model, of_model in grouped.items()}
    asked = [(group, part) for group in groups.values() for part in group.narrow()]
    if asked:
        ids, firsts, numbers = (list(column) for column in zip(*(part for _, part in asked), strict=True))
        found = {row["id"]: row["round_trips"] for row in await fetch_slices(ids, firsts, numbers)}
        for group, part in asked:
            if part[0] not in found:
                raise RollupRebuiltError
            group.values = np.concatenate([group.values, read_doubles(found[part[0]])])
    return {model: group.median() for model, group in groups.items()}


def read_doubles(sent: bytes) -> Doubles:
    """Doubles as the database sends them."""
    return np.frombuffer(sent, ">f8").astype(np.float64)
