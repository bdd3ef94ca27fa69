"""Adds up details by any key of their series."""

from collections.abc import Callable, Hashable
from typing import TypeVar

from msgspec.structs import replace

from orchboard.stats import Series
from orchboard.store.details.reader import Details
from orchboard.store.details.series import SeriesIndex
from orchboard.store.details.sums import SeriesSums, add_up

K = TypeVar("K", bound=Hashable)


def group_sums(
    index: SeriesIndex, sums: SeriesSums, key: Callable[[Series], K]
) -> tuple[list[K], SeriesSums]:
    """The distinct keys, sorted, and the sums of each; `series` is the position of the key in the list."""
    keys, positions = index.grouped(sums.series, key)
    numbers = dict(zip(sums.series.tolist(), positions.tolist(), strict=True))
    errors = [replace(error, series=numbers[error.series]) for error in sums.errors]
    return keys, add_up([replace(sums, series=positions, errors=errors)])


def group_details(details: Details, key: Callable[[Series], K]) -> tuple[list[K], SeriesSums]:
    """As `group_sums`."""
    return group_sums(details.index, details.sums, key)
