"""Adds up details by any key of their series."""

from collections.abc import Callable, Hashable
from typing import TypeVar

from orchboard.stats import Series
from orchboard.store.details.details import Details
from orchboard.store.details.series import SeriesIndex
from orchboard.store.details.sums import SeriesSums, add_up, renumber

K = TypeVar("K", bound=Hashable)


def group_sums(
    index: SeriesIndex, sums: SeriesSums, key: Callable[[Series], K]
) -> tuple[list[K], SeriesSums]:
    """The distinct keys, sorted, and the sums of each; `series` is the position of the key in the list."""
    keys, positions = index.grouped(sums.series, key)
    return keys, add_up([renumber(sums, positions)])


def group_details(details: Details, key: Callable[[Series], K]) -> tuple[list[K], SeriesSums]:
    """As `group_sums`."""
    return group_sums(details.index, details.sums, key)
