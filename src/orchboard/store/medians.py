"""Exact medians of round trips: counts in buckets first, then the one bucket in which the median is."""

from collections.abc import Awaitable, Callable, Sequence

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


class ResealedError(Exception):
    """A list was summed up again between the two looks at it: ask again."""


def buckets_of(round_trips: Doubles) -> NDArray[np.int64]:
    """The bucket of each round trip, from 0 to BUCKETS - 1, by the bits that `round_trip_bucket` takes in SQL.

    >>> buckets_of(np.array([-1.0, 2.0**-14, 1.0, 1e9])).tolist()
    [0, 0, 896, 1791]
    """
    within = np.clip(round_trips, _LOWEST, np.nextafter(_HIGHEST, 0))
    return (within.view(np.int64) >> 46) - _FIRST_BITS


class _Counted(Struct, frozen=True):
    """A sealed list of which only the counts were read: its id, and how many are in buckets before each."""

    id: int
    first_bucket: int
    counts: NDArray[np.int64]

    def slice_of(self, low: int, high: int) -> tuple[int, int]:
        """Where the round trips of the buckets from `low` to `high` begin in the list, and how many there are."""
        low, high = (min(max(bucket - self.first_bucket, 0), len(self.counts)) for bucket in (low, high + 1))
        return int(self.counts[:low].sum()), int(self.counts[low:high].sum())


class _RoundTrips:
    """The round trips of one pipeline and model: `values` that were read, and lists only counted."""

    def __init__(self, rows: Sequence[asyncpg.Record]) -> None:
        self.values = _doubles(b"".join(row["round_trips"] for row in rows if row["buckets"] is None))
        self._counted = [
            _Counted(row["id"], row["first_bucket"], np.frombuffer(row["buckets"], ">i4").astype(np.int64))
            for row in rows
            if row["buckets"] is not None
        ]
        self._number = len(self.values) + sum(int(counted.counts.sum()) for counted in self._counted)
        self._before = 0

    def narrow(self) -> list[tuple[int, int, int]]:
        """Keep of `values` only what is in the buckets of the two middle round trips.

        Returns what is to be read of the counted lists: id, where the part begins, how many there are.
        """
        if not self._counted:
            return []
        buckets = buckets_of(self.values)
        totals = np.bincount(buckets, minlength=BUCKETS)
        for counted in self._counted:
            totals[counted.first_bucket : counted.first_bucket + len(counted.counts)] += counted.counts
        reached = np.cumsum(totals)
        low, high = (int(np.searchsorted(reached, rank, "right")) for rank in self._middle())
        self._before = int(reached[low] - totals[low])
        self.values = self.values[(buckets >= low) & (buckets <= high)]
        parts = [(counted.id, *counted.slice_of(low, high)) for counted in self._counted]
        return [part for part in parts if part[2]]

    def median(self) -> float:
        """As PostgreSQL's percentile_cont(0.5) has it, to the last bit."""
        first, second = (rank - self._before for rank in self._middle())
        values = np.partition(self.values, [first, second])
        return float(values[first] + 0.5 * (values[second] - values[first]))

    def _middle(self) -> tuple[int, int]:
        return (self._number - 1) // 2, self._number // 2


async def medians_of(
    rows: Sequence[asyncpg.Record], fetch_slices: FetchSlices
) -> dict[tuple[str, str], float]:
    """The median round trip of each pipeline and model, in seconds, from the rows of `round_trips`.

    Raises ResealedError.
    """
    grouped: dict[tuple[str, str], list[asyncpg.Record]] = {}
    for row in rows:
        grouped.setdefault((row["pipeline"], row["model"]), []).append(row)
    groups = {key: _RoundTrips(of_key) for key, of_key in grouped.items()}
    asked = [(group, part) for group in groups.values() for part in group.narrow()]
    if asked:
        ids, firsts, numbers = (list(column) for column in zip(*(part for _, part in asked), strict=True))
        found = {row["id"]: row["round_trips"] for row in await fetch_slices(ids, firsts, numbers)}
        for group, part in asked:
            if part[0] not in found:
                raise ResealedError
            group.values = np.concatenate([group.values, _doubles(found[part[0]])])
    return {key: group.median() for key, group in groups.items()}


def _doubles(sent: bytes) -> Doubles:
    return np.frombuffer(sent, ">f8").astype(np.float64)
