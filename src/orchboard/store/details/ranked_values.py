"""RankedValues: ascending round trips of many results, of which only those near some quantiles are kept."""

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from orchboard.store.rollups.group_index import Indices
from orchboard.store.rollups.result_columns import Doubles

WHOLE = 1_500
"""At most so many values are kept whole."""

_LEAST_MARGIN, _MARGIN, _MOST_MARGIN = 500, 0.05, 1_000
"""How many others the kept values are enough for: as a part of all, at least and at most unless more are needed."""

_EVERYTHING = 2**62


class NotKeptError(Exception):
    """A value of a rank that is needed was not kept. margin -- one with which it would be, probably"""

    def __init__(self, margin: int) -> None:
        super().__init__(f"a margin of {margin} is needed")
        self.margin = margin


class RankedValues(Struct, frozen=True):
    """Values in ascending order.

    number -- of all, kept or not
    ranks -- of the first value of each segment, from 0 on, ascending
    segments -- runs of consecutive values that are kept
    margin -- how many others the kept values are enough for
    """

    number: int
    ranks: tuple[int, ...]
    segments: tuple[Doubles, ...]
    margin: int = _EVERYTHING

    @classmethod
    def whole(cls, values: Doubles) -> "RankedValues":
        """All values. values -- ascending"""
        return cls(len(values), (0,), (values,))

    @classmethod
    def near(
        cls,
        values: Doubles,
        fractions: Iterable[float],
        *,
        below: int = 0,
        number: int = 0,
        margin: int = 0,
    ) -> "RankedValues":
        """The values near some quantiles.

        values -- in any order: all of them, or those of consecutive ranks
        below -- how many others are lower; number -- of all; 0: of `values`
        margin -- how many others they are to be enough for, at least: low ones move a quantile down, high ones up
        """
        ordered, number = np.sort(values), number or len(values)
        if len(ordered) <= WHOLE:
            return cls(number, (below,), (ordered,))
        margin = max(margin, _LEAST_MARGIN, min(int(_MARGIN * number), _MOST_MARGIN))
        bounds: list[tuple[int, int]] = []
        for fraction in sorted(fractions):
            at = int(fraction * (number - 1)) - below
            up = math.ceil(fraction * margin)
            since, until = max(at - (margin - up) - 1, 0), min(at + up + 2, len(ordered))
            if bounds and since <= bounds[-1][1]:
                bounds[-1] = bounds[-1][0], until
            elif since < until:
                bounds.append((since, until))
        return cls(
            number,
            tuple(below + since for since, _ in bounds),
            tuple(ordered[since:until].copy() for since, until in bounds),
            margin,
        )

    @property
    def size(self) -> int:
        """Bytes of the kept values."""
        return sum(segment.nbytes for segment in self.segments)

    @property
    def is_whole(self) -> bool:
        """Whether all values are kept."""
        return self.size == 8 * self.number

    def quantiles(self, others: Doubles, fractions: Sequence[float]) -> list[float]:
        """Quantiles of these values and some others together, as PostgreSQL's percentile_cont; NaN without any.

        others -- ascending, fewer than the kept margin. Raises NotKeptError if they are too many.

        >>> RankedValues.near(np.array([1.0, 2.0, 4.0]), [0.5]).quantiles(np.array([3.0]), [0.5])
        [2.5]
        """
        if self.is_whole:
            joined = np.sort(np.concatenate([*self.segments, others]))
            return _interpolate(len(joined), fractions, lambda rank: float(joined[rank]))
        merged = [
            _Merged.of(first, own, others, self.number)
            for first, own in zip(self.ranks, self.segments, strict=True)
            if len(own)
        ]
        starts = [each.first for each in merged]

        def at(rank: int) -> float:
            segment = bisect_right(starts, rank) - 1
            if segment < 0:
                raise LookupError(rank)
            return merged[segment].at(rank)

        try:
            return _interpolate(self.number + len(others), fractions, at)
        except LookupError:
            raise NotKeptError(4 * max(self.margin, len(others))) from None


class _Merged(NamedTuple):
    """A segment, and the others that are between its ends; an end of all values is none.

    first -- the rank of its first value among all and the others: what is not kept before it is not larger than any of it
    at_rank -- where in the two together each of the others is
    """

    first: int
    own: Doubles
    others: Doubles
    at_rank: list[int]

    @classmethod
    def of(cls, first: int, own: Doubles, others: Doubles, number: int) -> "_Merged":
        """number -- of all values"""
        lower = others.searchsorted(own[0]) if first else 0
        upper = others.searchsorted(own[-1], "right") if first + len(own) < number else len(others)
        between = others[lower:upper]
        at_rank = own.searchsorted(between) + np.arange(len(between))
        return cls(first + int(lower), own, between, at_rank.tolist())

    def at(self, rank: int) -> float:
        """The value of a rank from `first` on among all and the others. Raises LookupError if it is not kept."""
        within = rank - self.first
        if within >= len(self.own) + len(self.others):
            raise LookupError(rank)
        before = bisect_left(self.at_rank, within)
        is_other = before < len(self.at_rank) and self.at_rank[before] == within
        return float(self.others[before] if is_other else self.own[within - before])


NO_VALUES = RankedValues.whole(np.zeros(0))


def split_runs(values: Doubles, group: Indices, groups: int) -> list[Doubles]:
    """The values of each group, ascending. group -- of each value, from 0 to groups - 1; -1: of none"""
    # numpy sorts 16 bits by radix: 4 times as fast
    group = group.astype(np.int16 if groups < np.iinfo(np.int16).max else np.int64)
    order = np.argsort(group, kind="stable")
    edges = np.searchsorted(group[order], np.arange(groups + 1)).tolist()
    ordered = values[order]
    return [np.sort(ordered[since:until]) for since, until in itertools.pairwise(edges)]


def _interpolate(number: int, fractions: Sequence[float], at: Callable[[int], float]) -> list[float]:
    """Quantiles of some values. at -- the value of a rank"""
    if not number:
        return [math.nan] * len(fractions)
    found = []
    for fraction in fractions:
        rank = fraction * (number - 1)
        low = math.floor(rank)
        lower, upper = at(low), at(math.ceil(rank))
        found.append(lower + (rank - low) * (upper - lower))
    return found
