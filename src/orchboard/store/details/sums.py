"""SeriesSums: counts, sums, central moments, exact round trips and errors of results, by series. Any two can be added up."""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from orchboard.store.details.error_sums import NO_ERRORS, ErrorSums, add_up_errors
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.group_index import Indices, unique_inverse
from orchboard.store.rollups.result_columns import Doubles

NETWORK = ""
"""In place of an orchestrator: all orchestrators together."""

MOMENTS = tuple(combinations_with_replacement(range(len(MEASURES)), 2))
"""Pairs of measures, in the order of the rows of `SeriesSums.moments`: (0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)."""


class SeriesSums(Struct, frozen=True):
    """What the results of some ranges of receipt time add up to, an entry for each series; every series once, ascending.

    series -- of the SeriesIndex, shape (entries,), as all arrays below unless they say otherwise
    results -- scored results; unscored -- the others; at least one of both
    successes -- scored results whose success rate is at least 1
    cold -- scored AI results whose model was not warm
    first, last -- receipt times of the first and last result, scored or not, in microseconds since 2000
    sums -- of the measures of scored results, shape (measures, entries), in the order of MEASURES
    moments -- sums of products of two measures' deviations from their means, shape (moments, entries), as MOMENTS lists;
        divided by `results`, they are covariances
    round_trips -- seconds, of each scored result with success rate 1 and a round trip other than 0, in no order
    round_trip_entries -- the entry of each of `round_trips`
    errors -- in no order
    """

    series: Indices
    results: Indices
    unscored: Indices
    successes: Indices
    cold: Indices
    first: Indices
    last: Indices
    sums: Doubles
    moments: Doubles
    round_trips: Doubles
    round_trip_entries: Indices
    errors: ErrorSums

    @property
    def round_trip_counts(self) -> Indices:
        """The number of round trips of each entry."""
        return np.bincount(self.round_trip_entries, minlength=len(self.series))

    @property
    def size(self) -> int:
        """Bytes in memory, approximately."""
        arrays = (getattr(self, name) for name in self.__struct_fields__ if name != "errors")
        return sum(int(array.nbytes) for array in arrays) + self.errors.size

    def alone(self) -> "SeriesSums":
        """The same sums in arrays that are no parts of larger ones, which they would keep in memory."""
        arrays = ((name, getattr(self, name)) for name in self.__struct_fields__ if name != "errors")
        return replace(self, **{name: array.copy() for name, array in arrays if array.base is not None})

    def measure(self, name: str) -> Doubles:
        """The sums of one of MEASURES."""
        values: Doubles = self.sums[MEASURES.index(name)]
        return values

    def without_round_trips(self) -> "SeriesSums":
        """The same sums with no round trips, as where they were not read."""
        return replace(self, round_trips=np.zeros(0), round_trip_entries=np.zeros(0, np.int64))

    def select(self, entries: Indices) -> "SeriesSums":
        """Some entries, given by position, in that order."""
        position = np.full(len(self.series), -1)
        position[entries] = np.arange(len(entries))
        entry_of_value = position[self.round_trip_entries]
        is_selected = entry_of_value >= 0
        return SeriesSums(
            self.series[entries],
            self.results[entries],
            self.unscored[entries],
            self.successes[entries],
            self.cold[entries],
            self.first[entries],
            self.last[entries],
            self.sums[:, entries],
            self.moments[:, entries],
            self.round_trips[is_selected],
            entry_of_value[is_selected],
            self.errors.select(np.isin(self.errors.series, self.series[entries]))
            if self.errors
            else self.errors,
        )


def join_sums(parts: Sequence[SeriesSums]) -> SeriesSums:
    """The entries of some parts, one part after the other; without errors. parts -- at least one"""
    if len(parts) == 1:
        return parts[0]
    before = np.cumsum([0, *(len(part.series) for part in parts)])
    entries = [start + part.round_trip_entries for start, part in zip(before, parts, strict=False)]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=-1)
        for name in SeriesSums.__struct_fields__
        if name not in ("round_trip_entries", "errors")
    }
    return SeriesSums(**columns, round_trip_entries=np.concatenate(entries), errors=NO_ERRORS)


def add_up(parts: Sequence[SeriesSums]) -> SeriesSums:
    """The total of some sums over disjoint results, each series once, ascending."""
    if len(parts) == 1 and (sorted_part := _sort(parts[0])) is not None:
        return sorted_part
    series = _joined([part.series for part in parts], np.int64)
    distinct, entry = unique_inverse(series, int(series.max(initial=-1)) + 1)
    number = len(distinct)

    def total(name: str) -> Indices:
        values = _joined([getattr(part, name) for part in parts], np.int64)
        return np.bincount(entry, values, number).astype(np.int64)

    results = total("results")
    first = np.full(number, np.iinfo(np.int64).max)
    last = np.full(number, np.iinfo(np.int64).min)
    np.minimum.at(first, entry, _joined([part.first for part in parts], np.int64))
    np.maximum.at(last, entry, _joined([part.last for part in parts], np.int64))
    sums, moments = _add_moments(parts, entry, results)
    before = np.cumsum([0, *(len(part.series) for part in parts)])
    entries = [entry[start + part.round_trip_entries] for start, part in zip(before, parts, strict=False)]
    return SeriesSums(
        distinct,
        results,
        total("unscored"),
        total("successes"),
        total("cold"),
        first,
        last,
        sums,
        moments,
        _joined([part.round_trips for part in parts], np.float64),
        _joined(entries, np.int64),
        add_up_errors([part.errors for part in parts]),
    )


def _sort(sums: SeriesSums) -> SeriesSums | None:
    """The same sums by ascending series; None if a series is there twice."""
    if _is_ascending(sums.series):
        return sums
    order = np.argsort(sums.series)
    return sums.select(order) if _is_ascending(sums.series[order]) else None


def _is_ascending(series: Indices) -> bool:
    return bool((series[1:] > series[:-1]).all())


def renumber(sums: SeriesSums, numbers: Sequence[int] | Indices) -> SeriesSums:
    """The same sums with other numbers of series, one for each entry. `add_up` sorts and merges entries whose numbers are equal."""
    new = np.asarray(numbers, np.int64)
    order = np.argsort(sums.series, kind="stable")
    at = order[np.searchsorted(sums.series, sums.errors.series, sorter=order)]
    return replace(sums, series=new, errors=replace(sums.errors, series=new[at]))


def _add_moments(parts: Sequence[SeriesSums], entry: Indices, results: Indices) -> tuple[Doubles, Doubles]:
    """Sums and moments of the total. Moments are about each part's mean; the distance to the total's mean is added."""
    number = len(results)
    of_part = _joined([part.results for part in parts], np.int64)
    sums, moments = np.empty((len(MEASURES), number)), np.empty((len(MOMENTS), number))
    distance = []
    for row in range(len(MEASURES)):  # one at a time, as there may be 300,000 entries
        values = _joined([part.sums[row] for part in parts], np.float64)
        sums[row] = np.bincount(entry, values, number)
        distance.append(values / np.maximum(of_part, 1) - (sums[row] / np.maximum(results, 1))[entry])
    for row, (one, other) in enumerate(MOMENTS):
        values = _joined([part.moments[row] for part in parts], np.float64)
        values += of_part * distance[one] * distance[other]
        moments[row] = np.bincount(entry, values, number)
    return sums, moments


def _joined(arrays: Sequence[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, kind), *arrays])


NO_SUMS = add_up([])
"""Of no results."""
