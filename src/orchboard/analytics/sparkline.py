"""Scores of all orchestrators in other windows: the buckets of a sparkline, and the window before."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from orchboard.analytics.group_columns import GroupColumns
from orchboard.analytics.groups import OwnerScores, Points, score_owners
from orchboard.analytics.nullable import with_none
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType, SeriesQuery
from orchboard.store.details.details import Details, Needs
from orchboard.store.details.reader import one_by_one
from orchboard.store.postgres.clock import EPOCH
from orchboard.store.rollups.group_index import Indices

MAX_POINTS = 30

_SIZES = tuple(
    timedelta(minutes=minutes)
    for minutes in (1, 2, 5, 10, 30, 60, 120, 180, 360, 720, 1440, 2880, 4320, 10080, 20160, 43200)
)


def edges_of(since: datetime, until: datetime) -> list[datetime]:
    """The edges of the at most MAX_POINTS buckets of a window, at round times but for the first and the last.

    since -- before `until`

    >>> from datetime import UTC
    >>> start = datetime(2026, 3, 1, 12, 10, tzinfo=UTC)
    >>> edges = edges_of(start, start + timedelta(hours=24))
    >>> len(edges), edges[1] - edges[0], edges[2] - edges[1]
    (26, datetime.timedelta(seconds=3000), datetime.timedelta(seconds=3600))
    """
    length = until - since
    largest = _SIZES[-1] * math.ceil(length / (_SIZES[-1] * MAX_POINTS))
    size = next((each for each in _SIZES if length / each <= MAX_POINTS), largest)
    first, last = (since - EPOCH) // size + 1, -((EPOCH - until) // size)
    inner = [EPOCH + number * size for number in range(first, last)]
    return [since, *inner[-(MAX_POINTS - 1) :], until]


async def fetch_scores(
    board: Leaderboard,
    query: SeriesQuery,
    job_type: JobType,
    edges: Sequence[datetime],
    *,
    asked_at: float,
) -> list[OwnerScores]:
    """The scores in each bucket between consecutive edges, against the medians of that bucket. asked_at -- see DetailReader"""

    def compute(details: Details) -> OwnerScores:
        return score_owners(Points.of(details), [job_type], any_name=board.scores_any_name)

    kind = "scores of orchestrators", job_type, board.scores_any_name
    return await board.store.details.fetch_points(
        kind, query, edges, one_by_one(compute), Needs(medians=True), asked_at=asked_at
    )


def lines_of(
    buckets: Sequence[OwnerScores], columns: GroupColumns, orchestrators: Indices
) -> list[list[float | None]]:
    """The scores of some orchestrators, given by number in `columns`, in each bucket; None without one."""
    table = np.full((len(buckets), len(columns.owners)), np.nan)
    for row, bucket in zip(table, buckets, strict=True):
        if bucket.columns is columns:
            row[bucket.owner] = bucket.score
        else:  # a region has changed between two queries
            names = [bucket.columns.owners[each] for each in bucket.owner.tolist()]
            scores = dict(zip(names, bucket.score.tolist(), strict=True))
            row[:] = [scores.get(name, np.nan) for name in columns.owners]
    lines: list[list[float | None]] = with_none(table[:, orchestrators].T)
    return lines
