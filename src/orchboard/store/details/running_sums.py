"""RunningSums: sums that are added up in place, so that many parts of many series need the memory of their total only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchboard.store.details.error_sums import NO_ERRORS, add_up_errors
from orchboard.store.details.sums import MOMENTS, SeriesSums
from orchboard.store.measures import MEASURES

_COUNTS = ("results", "unscored", "successes", "cold")

# The least and the greatest of no times.
_START = {"first": np.iinfo(np.int64).max, "last": np.iinfo(np.int64).min}


class RunningSums:
    """The total of some sums over disjoint results. Series are numbered from 0 on, with few gaps: there is an entry for each number."""

    def __init__(self) -> None:
        self._series = 0
        self._arrays: dict[str, NDArray[Any]] = {name: np.zeros(0, np.int64) for name in (*_COUNTS, *_START)}
        self._arrays |= {"sums": np.zeros((len(MEASURES), 0)), "moments": np.zeros((len(MOMENTS), 0))}
        self._round_trips: list[NDArray[np.float64]] = []
        self._series_of_round_trips: list[NDArray[np.int32]] = []
        self._errors = NO_ERRORS

    def add(self, part: SeriesSums) -> None:
        """Add sums. part -- each series once, ascending"""
        if not len(part.series):
            return
        self._extend(int(part.series[-1]) + 1)
        arrays, at = self._arrays, part.series
        self._add_moments(part, arrays["results"][at])
        for name in _COUNTS:
            arrays[name][at] += getattr(part, name)
        arrays["first"][at] = np.minimum(arrays["first"][at], part.first)
        arrays["last"][at] = np.maximum(arrays["last"][at], part.last)
        self._round_trips.append(part.round_trips)
        self._series_of_round_trips.append(part.series[part.round_trip_entries].astype(np.int32))
        self._errors = add_up_errors([self._errors, part.errors])

    def total(self) -> SeriesSums:
        """The sums of all that was added, as views if every series has a result; nothing may be added afterwards."""
        columns = {name: array[..., : self._series] for name, array in self._arrays.items()}
        is_present = (columns["results"] > 0) | (columns["unscored"] > 0)
        series = np.flatnonzero(is_present)
        if len(series) < self._series:
            columns = {name: array[..., series] for name, array in columns.items()}
        position = np.cumsum(is_present) - 1
        of_round_trips = np.concatenate([np.zeros(0, np.int32), *self._series_of_round_trips])
        return SeriesSums(
            series=series,
            **columns,
            round_trips=np.concatenate([np.zeros(0), *self._round_trips]),
            round_trip_entries=position[of_round_trips],
            errors=self._errors,
        )

    def _add_moments(self, part: SeriesSums, before: NDArray[np.int64]) -> None:
        """Add sums and moments as `sums.add_up` does. before -- the results so far of each of the part's series"""
        at, all_sums, moments = part.series, self._arrays["sums"], self._arrays["moments"]
        results = np.maximum(before + part.results, 1)
        own: list[Any] = []
        added: list[Any] = []
        for row, sums in enumerate(part.sums):
            total = all_sums[row, at] + sums
            own.append(all_sums[row, at] / np.maximum(before, 1) - total / results)
            added.append(sums / np.maximum(part.results, 1) - total / results)
            all_sums[row, at] = total
        for row, (one, other) in enumerate(MOMENTS):
            moments[row, at] += before * own[one] * own[other]
            moments[row, at] += part.moments[row] + part.results * added[one] * added[other]

    def _extend(self, series: int) -> None:
        """Make room for some series, and an eighth more; one array after the other."""
        self._series = max(self._series, series)
        missing = series - len(self._arrays["first"])
        if missing > 0:
            for name, array in self._arrays.items():
                shape = (*array.shape[:-1], missing + series // 8)
                more = np.full(shape, _START.get(name, 0), array.dtype)
                self._arrays[name] = np.concatenate([array, more], axis=-1)
