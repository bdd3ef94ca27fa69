"""Exact quantiles of round trips, equal to PostgreSQL's percentile_cont to the last bit."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from orchboard.store.details.sums import SeriesSums
from orchboard.store.rollups.group_index import Indices
from orchboard.store.rollups.result_columns import Doubles


def quantiles(sums: SeriesSums, group: Indices, groups: int, fractions: Sequence[float]) -> Doubles:
    """Quantiles of the round trips of groups of entries; shape (groups, fractions), NaN for a group without any.

    group -- of each entry, from 0 to groups - 1; -1: of none
    """
    # numpy sorts 16 bits by radix: 4 times as fast
    kind = np.int16 if groups < np.iinfo(np.int16).max else np.int64
    of_value = group.astype(kind)[sums.round_trip_entries]
    order = np.argsort(of_value, kind="stable")
    values = sums.round_trips[order]
    edges = np.searchsorted(of_value[order], np.arange(-1, groups), "right").tolist()
    found = np.full((groups, len(fractions)), np.nan)
    for number, (start, end) in enumerate(itertools.pairwise(edges)):
        if start < end:
            own = np.sort(values[start:end])  # with several fractions as fast as np.partition, or faster
            found[number] = [percentile(own, fraction) for fraction in fractions]
    return found


def percentile(values: Doubles, fraction: float) -> float:
    """An interpolated quantile of ascending values, at least one.

    >>> percentile(np.array([1.0, 2.0, 4.0]), 0.75)
    3.0
    """
    rank = fraction * (len(values) - 1)
    low = math.floor(rank)
    lower, upper = float(values[low]), float(values[math.ceil(rank)])
    return lower + (rank - low) * (upper - lower)
