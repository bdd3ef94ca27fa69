"""Totals: counts of results, and the time of the last one, by any key of their series."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np
from msgspec import Struct

from orchboard.stats import Series
from orchboard.store.details.details import Details
from orchboard.store.rollups.group_index import Indices

K = TypeVar("K", bound=Hashable)


class Totals(Struct, Generic[K], frozen=True):
    """Totals of each key. Arrays of shape (keys,); see SeriesSums.

    keys -- distinct, sorted
    """

    keys: list[K]
    results: Indices
    unscored: Indices
    successes: Indices
    cold: Indices
    last: Indices


def total_by(details: Details, key: Callable[[Series], K]) -> Totals[K]:
    """The totals of each key that has results. key -- see `SeriesIndex.column`"""
    sums = details.sums
    keys, position = details.index.grouped(sums.series, key)

    def total(values: Indices) -> Indices:
        return np.bincount(position, values, len(keys)).astype(np.int64)

    last = np.full(len(keys), np.iinfo(np.int64).min)
    np.maximum.at(last, position, sums.last)
    return Totals(
        keys, total(sums.results), total(sums.unscored), total(sums.successes), total(sums.cold), last
    )
