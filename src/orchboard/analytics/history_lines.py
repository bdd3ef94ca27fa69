"""The numbers of one bucket of a history, by line."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from orchboard.analytics.group_columns import JOB_TYPES, Owner
from orchboard.analytics.groups import Points, score_owners
from orchboard.reports.history import LineKind
from orchboard.scoring import Doubles
from orchboard.store.details.details import Details
from orchboard.store.details.quantiles import quantiles
from orchboard.store.details.series_keys import (
    KindKey,
    model_name_of,
    orchestrator_of,
    pipeline_of,
    region_of,
    tester_name_of,
)
from orchboard.store.rollups.group_index import unique_inverse

RESULTS, UNSCORED, LAST, SCORE, SUCCESS_RATE, QUANTILES = 0, 1, 2, 3, 4, slice(5, 9)
"""Columns of `LineRows.numbers`. LAST: receipt time of the last result, scored or not, in microseconds since 2000."""

LINE_OF: Mapping[LineKind, Owner] = {
    "network": KindKey(lambda _: ""),
    "orchestrator": orchestrator_of,
    "region": region_of,
    "pipeline": pipeline_of,
    "model": model_name_of,
    "tester": tester_name_of,
}
"""The name of the line that a series belongs to."""

FRACTIONS = (0.5, 0.75, 0.9, 0.99)


class LineRows(NamedTuple):
    """The lines that have results in one bucket.

    names -- sorted
    numbers -- shape (lines, columns); NaN: there is none
    """

    names: tuple[str, ...]
    numbers: Doubles


NO_LINES = LineRows((), np.zeros((0, QUANTILES.stop)))
"""Of a bucket without results."""


def line_rows(details: Sequence[Details], line_of: Owner, *, scores_any_name: bool) -> list[LineRows]:
    """The numbers of each line in each of some buckets. line_of -- one of LINE_OF"""
    points = Points.of(*details)
    sums, column = points.sums, points.index.column(line_of)
    names, lines = sorted(column.keys), len(column.keys)
    by_name = column.positions(names)
    keys, row = unique_inverse(points.point * lines + by_name[sums.series], len(details) * lines)
    rows = len(keys)
    numbers = np.full((rows, QUANTILES.stop), np.nan)
    numbers[:, RESULTS] = np.bincount(row, sums.results, rows)
    numbers[:, UNSCORED] = np.bincount(row, sums.unscored, rows)
    numbers[:, LAST] = -np.inf
    np.maximum.at(numbers[:, LAST], row, sums.last)
    scored = np.flatnonzero(numbers[:, RESULTS])
    succeeded = np.bincount(row, sums.measure("success_rate"), rows)
    numbers[scored, SUCCESS_RATE] = succeeded[scored] / numbers[scored, RESULTS]
    scores = score_owners(points, JOB_TYPES, any_name=scores_any_name, owner=line_of)
    row_of = np.zeros(len(details) * len(scores.columns.owners), np.int64)
    row_of[points.point * len(scores.columns.owners) + scores.columns.owner(sums.series)] = row
    numbers[row_of[scores.owner], SCORE] = scores.score
    numbers[:, QUANTILES] = quantiles(sums, row, rows, FRACTIONS)
    edges = keys.searchsorted(np.arange(len(details) + 1) * lines).tolist()
    return [
        LineRows(tuple(names[key % lines] for key in keys[first:last].tolist()), numbers[first:last].copy())
        for first, last in pairwise(edges)
    ]


class LineTable:
    """The rows of all buckets.

    names -- of all lines, each once, in the order in which they were seen
    totals -- the number of results of each line, scored or not, shape (lines,)
    """

    def __init__(self, buckets: Sequence[LineRows]) -> None:
        position: dict[str, int] = {}
        lines = [position.setdefault(name, len(position)) for rows in buckets for name in rows.names]
        self.names = list(position)
        self._position = position
        self._buckets = len(buckets)
        self._line = np.array(lines, np.int64)
        self._bucket = np.repeat(np.arange(len(buckets)), [len(rows.names) for rows in buckets])
        self._numbers = np.concatenate([NO_LINES.numbers, *(rows.numbers for rows in buckets)])
        counts = self._numbers[:, RESULTS] + self._numbers[:, UNSCORED]
        self.totals = np.bincount(self._line, counts, len(self.names)).astype(np.int64)

    @property
    def last(self) -> int | None:
        """Receipt time of the last result, in microseconds since 2000; None without one."""
        return int(self._numbers[:, LAST].max()) if len(self._numbers) else None

    def line(self, name: str) -> Doubles:
        """The numbers of one line in each bucket, shape (buckets, columns); NaN without a result."""
        numbers = np.full((self._buckets, QUANTILES.stop), np.nan)
        own = self._line == self._position.get(name, -1)
        numbers[self._bucket[own]] = self._numbers[own]
        return numbers
