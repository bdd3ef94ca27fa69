"""RunningSums: sums that are added up in place, so that many parts of many series need the memory of their total only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchboard.store.details.error_sums import NO_ERRORS, add_up_errors
from orchboard.store.details.sums import MOMENTS, SeriesSums
from orchboard.store.measures import MEASURES

_COUNTS = ("results", "unscored", "successes", "cold")


class RunningSums:
    """The total of some sums over disjoint results. Series are numbered from 0 on, with few gaps: there is an entry for each number."""

    def __init__(self) -> None:
        largest = np.iinfo(np.int64).max
        self._counts = {name: np.zeros(0, np.int64) for name in _COUNTS}
        self._first, self._last = np.full(0, largest), np.full(0, -largest)
        self._sums = [np.zeros(0) for _ in MEASURES]
        self._moments = [np.zeros(0) for _ in MOMENTS]
        self._round_trips: list[NDArray[np.float64]] = []
        self._series_of_round_trips: list[NDArray[np.int32]] = []
        self._errors = NO_ERRORS

    def add(self, part: SeriesSums) -> None:
        """Add sums. part -- each series once, ascending"""
        if not len(part.series):
            return
        self._extend(int(part.series[-1]) + 1)
        at, before = part.series, self._counts["results"][part.series]
        self._add_moments(part, before)
        for name in _COUNTS:
            self._counts[name][at] += getattr(part, name)
        self._first[at] = np.minimum(self._first[at], part.first)
        self._last[at] = np.maximum(self._last[at], part.last)
        self._round_trips.append(part.round_trips)
        self._series_of_round_trips.append(part.series[part.round_trip_entries].astype(np.int32))
        self._errors = add_up_errors([self._errors, part.errors])

    def total(self) -> SeriesSums:
        """The sums of all that was added."""
        is_present = (self._counts["results"] > 0) | (self._counts["unscored"] > 0)
        series = np.flatnonzero(is_present)
        position = np.cumsum(is_present) - 1
        of_round_trips = np.concatenate([np.zeros(0, np.int32), *self._series_of_round_trips])
        results, unscored, successes, cold = (self._counts[name][series] for name in _COUNTS)
        return SeriesSums(
            series,
            results,
            unscored,
            successes,
            cold,
            self._first[series],
            self._last[series],
            np.array([row[series] for row in self._sums]),
            np.array([row[series] for row in self._moments]),
            np.concatenate([np.zeros(0), *self._round_trips]),
            position[of_round_trips],
            self._errors,
        )

    def _add_moments(self, part: SeriesSums, before: NDArray[np.int64]) -> None:
        """Add sums and moments as `sums.add_up` does. before -- the results so far of each of the part's series"""
        at = part.series
        results = np.maximum(before + part.results, 1)
        own: list[Any] = []
        added: list[Any] = []
        for row, sums in enumerate(part.sums):
            total = self._sums[row][at] + sums
            mean = total / results
            own.append(self._sums[row][at] / np.maximum(before, 1) - mean)
            added.append(sums / np.maximum(part.results, 1) - mean)
            self._sums[row][at] = total
        for row, (one, other) in enumerate(MOMENTS):
            self._moments[row][at] += before * own[one] * own[other]
            self._moments[row][at] += part.moments[row] + part.results * added[one] * added[other]

    def _extend(self, series: int) -> None:
        """Make room for some series, and an eighth more; one array after the other."""
        missing = series - len(self._first)
        if missing <= 0:
            return
        missing += series // 8
        largest = np.iinfo(np.int64).max
        for name in _COUNTS:
            self._counts[name] = _longer(self._counts[name], missing, 0)
        self._first, self._last = (
            _longer(self._first, missing, largest),
            _longer(self._last, missing, -largest),
        )
        for rows in (self._sums, self._moments):
            rows[:] = [_longer(row, missing, 0.0) for row in rows]


def _longer(array: NDArray[Any], missing: int, value: float) -> NDArray[Any]:
    return np.concatenate([array, np.full(missing, value, array.dtype)])
