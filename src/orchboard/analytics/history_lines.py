"""The numbers of one bucket of a history, by line."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from orchboard.analytics.scores import score_groups
from orchboard.scoring import Doubles
from orchboard.stats import Series
from orchboard.store.details.details import Details
from orchboard.store.details.quantiles import quantiles

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
    numbers[:, QUANTILES] = quantiles(sums, line, len(names), FRACTIONS)
    return LineRows(tuple(names), numbers)
