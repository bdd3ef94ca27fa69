"""Exact quantiles of round trips, equal to PostgreSQL's percentile_cont to the last bit."""

import itertools
from collections.abc import Sequence

import numpy as np

from orchboard.store.details.sums import SeriesSums
from orchboard.store.rollups.group_index import Indices
from orchboard.store.rollups.result_columns import Doubles


def quantiles(sums: SeriesSums, group: Indices, groups: int, fractions: Sequence[float]) -> Doubles:
    """Quantiles of the round trips of groups of entries; shape (groups, fractions), NaN for a group without any.

    Interpolated between the two nearest.

    group -- of each entry, from 0 to groups - 1; -1: of none
    """
    return quantiles_of(sums.round_trips, group[sums.round_trip_entries], groups, fractions)


def quantiles_of(values: Doubles, group: Indices, groups: int, fractions: Sequence[float]) -> Doubles:
    """As `quantiles`. values -- in any order; group -- of each value"""
    # numpy sorts 16 bits by radix: 4 times as fast
    of_value = group.astype(np.int16 if groups < np.iinfo(np.int16).max else np.int64)
    order = np.argsort(of_value, kind="stable")
    values = values[order]
    edges = np.searchsorted(of_value[order], np.arange(-1, groups), "right")
    for start, end in itertools.pairwise(edges.tolist()):
        values[start:end].sort()  # with several fractions as fast as np.partition, or faster
    found = np.full((groups, len(fractions)), np.nan)
    filled = np.flatnonzero(edges[1:] > edges[:-1])
    first = edges[filled, np.newaxis]
    rank = np.asarray(fractions) * (edges[filled + 1, np.newaxis] - first - 1)
    low = np.floor(rank)
    lower, upper = (values[first + each.astype(np.int64)] for each in (low, np.ceil(rank)))
    found[filled] = lower + (rank - low) * (upper - lower)
    return found
