"""Ranks by score, and the ranks that are possible given the intervals of the scores."""

import numpy as np
from msgspec import Struct

from orchboard.scoring import Doubles
from orchboard.store.rollups.group_index import Indices

_DIGITS = 9
"""Scores are compared to this digit: the last ones depend on the order in which results were added up."""


class Ranks(Struct, frozen=True):
    """Ranks, from 1. Arrays of equal length.

    rank -- by score; equal scores share a rank
    low -- the best possible: 1 + the number of orchestrators whose interval lies wholly above
    high -- the worst possible: all but those whose interval lies wholly below
    """

    rank: Indices
    low: Indices
    high: Indices


def rank(score: Doubles, low: Doubles, high: Doubles) -> Ranks:
    """The ranks of orchestrators with these scores and ends of intervals.

    >>> ranks = rank(np.array([0.5, 0.9, 0.8]), np.array([0.4, 0.7, 0.6]), np.array([0.55, 1.0, 0.9]))
    >>> [ranks.rank.tolist(), ranks.low.tolist(), ranks.high.tolist()]
    [[3, 1, 2], [3, 1, 1], [3, 2, 2]]
    """
    score, low, high = (comparable(values) for values in (score, low, high))
    below = np.searchsorted(np.sort(high), low)
    return Ranks(1 + _above(score, score), 1 + _above(low, high), len(high) - below)


def _above(values: Doubles, limits: Doubles) -> Indices:
    """How many of the values are above each limit."""
    return len(values) - np.searchsorted(np.sort(values), limits, "right")


def comparable(values: Doubles) -> Doubles:
    """Scores as they are compared."""
    return np.round(values, _DIGITS)
