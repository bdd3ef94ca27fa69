"""The numbers of one bucket of a history, by line."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from orchboard.analytics.scores import score_groups
from orchboard.scoring import Doubles
from orchboard.stats import Series
from orchboard.store.details.reader import Details
from orchboard.store.details.sums import SeriesSums, percentile
from orchboard.store.rollups.group_index import Indices

RESULTS, UNSCORED, LAST, SCORE, SUCCESS_RATE, QUANTILES = 0, 1, 2, 3, 4, slice(5, 9)
"""Columns of `LineRows.numbers`. LAST: receipt time of the last result, scored or not, in microseconds since 2000."""

FRACTIONS = (0.5, 0.75, 0.9, 0.99)


class LineRows(NamedTuple):
    """The lines that have results in one bucket.

    names -- sorted
    numbers -- shape (lines, columns); NaN: there is none
    """

    names: tuple[str, ...]
    numbers: Doubles


def line_rows(details: Details, line_of: Callable[[Series], str], *, scores_any_name: bool) -> LineRows:
    """The numbers of each line in one bucket. line_of -- the name of the line that a series belongs to"""
    sums = details.sums
    names, line = details.index.grouped(sums.series, line_of)
    numbers = np.full((len(names), QUANTILES.stop), np.nan)
    numbers[:, RESULTS] = np.bincount(line, sums.results, len(names))
    numbers[:, UNSCORED] = np.bincount(line, sums.unscored, len(names))
    numbers[:, LAST] = -np.inf
    np.maximum.at(numbers[:, LAST], line, sums.last)
    scored = np.flatnonzero(numbers[:, RESULTS])
    succeeded = np.bincount(line, sums.measure("success_rate"), len(names))
    numbers[scored, SUCCESS_RATE] = succeeded[scored] / numbers[scored, RESULTS]
    groups = score_groups([details], line_of, scores_any_name=scores_any_name)
    rows = groups.by_key()
    positions = np.array([names.index(key) for key in groups.keys], np.int64)
    numbers[positions[rows.item], SCORE] = rows.scores.score
    numbers[:, QUANTILES] = _quantiles(sums, line, len(names))
    return LineRows(tuple(names), numbers)


def _quantiles(sums: SeriesSums, line: Indices, lines: int) -> Doubles:
    """The quantiles of the round trips of each line, shape (lines, fractions)."""
    found = np.full((lines, len(FRACTIONS)), np.nan)
    if lines == 1:
        values, ends = np.sort(sums.round_trips), [len(sums.round_trips)]
    else:
        of_value = line[sums.round_trip_entries]
        values = sums.round_trips[np.lexsort((sums.round_trips, of_value))]
        ends = np.cumsum(np.bincount(of_value, minlength=lines)).tolist()
    for at, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        if start < end:
            found[at] = [percentile(values[start:end], fraction) for fraction in FRACTIONS]
    return found
