"""Totals: counts of results, and the time of the last one, by any key of their series."""

from collections.abc import Hashable
from typing import Generic, TypeVar

import numpy as np
from msgspec import Struct

from orchboard.store.details.details import Details
from orchboard.store.details.series_keys import SeriesKey, has_address, orchestrator_of
from orchboard.store.rollups.group_index import Indices, unique_inverse

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


def total_by(details: Details, key: SeriesKey[K]) -> Totals[K]:
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


def count_orchestrators(details: Details, key: SeriesKey[K], *, any_name: bool = True) -> dict[K, int]:
    """The number of orchestrators with results of each key. any_name -- False: only those that are named by an Ethereum address"""
    index, series = details.index, details.sums.series
    if not any_name:
        addresses = index.column(has_address)
        series = series[np.array(addresses.keys, np.bool_)[addresses.of(series)]]
    keys, position = index.grouped(series, key)
    orchestrators = index.column(orchestrator_of)
    size = len(orchestrators.keys)
    distinct, _ = unique_inverse(position * size + orchestrators.of(series), len(keys) * size)
    return dict(zip(keys, np.bincount(distinct // size, minlength=len(keys)).tolist(), strict=True))
