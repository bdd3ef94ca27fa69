"""Exact quantiles of round trips."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from orchboard.store.details.sums import SeriesSums, percentile
from orchboard.store.rollups.group_index import Indices


def quantiles_by_owner(
    sums: SeriesSums, owner: Indices, number: int, fractions: Sequence[float]
) -> list[list[float] | None]:
    """Quantiles of the round trips of each owner, in seconds; None without round trips.

    owner -- of each entry of the sums, 0 to number - 1; -1: nobody's
    """
    # numpy sorts 16 bits by radix: 4 times as fast
    kind = np.int16 if number < np.iinfo(np.int16).max else np.int64
    of_value = owner.astype(kind)[sums.round_trip_entries]
    order = np.argsort(of_value, kind="stable")
    values = sums.round_trips[order]
    ends = np.searchsorted(of_value[order], np.arange(-1, number), "right").tolist()
    found: list[list[float] | None] = []
    for start, end in pairwise(ends):
        own = np.sort(values[start:end])  # faster than np.partition with several ranks
        found.append([percentile(own, fraction) for fraction in fractions] if len(own) else None)
    return found
