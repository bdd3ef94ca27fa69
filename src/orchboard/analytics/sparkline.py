"""Scores of all orchestrators in other windows: the buckets of a sparkline, and the window before."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from orchboard.analytics.buckets import RoundBound, round_edges
from orchboard.analytics.group_columns import GroupColumns
from orchboard.analytics.groups import OwnerScores, Points, score_owners
from orchboard.leaderboard import Leaderboard
from orchboard.scoring import Doubles
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


def edges_of(
    since: datetime, until: datetime, round_bound: RoundBound = lambda bound: bound
) -> list[datetime]:
    """The edges of the at most MAX_POINTS buckets of a window, at round times but for the first and the last; one if it is empty.

    >>> from datetime import UTC
    >>> start = datetime(2026, 3, 1, 12, 10, tzinfo=UTC)
    >>> edges = edges_of(start, start + timedelta(hours=24))
    >>> len(edges), edges[1] - edges[0], edges[2] - edges[1]
    (26, datetime.timedelta(seconds=3000), datetime.timedelta(seconds=3600))
    """
    since, until = round_bound(since), round_bound(until)
    if since >= until:
        return [since]
    length = until - since
    largest = _SIZES[-1] * math.ceil(length / (_SIZES[-1] * MAX_POINTS))
    size = next((each for each in _SIZES if length / each <= MAX_POINTS), largest)
    first, last = (since - EPOCH) // size + 1, -((EPOCH - until) // size)
    inner = [EPOCH + number * size for number in range(first, last)]
    return round_edges([since, *inner[-(MAX_POINTS - 1) :], until], round_bound)


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

    kind, details = ("scores of orchestrators", job_type, board.scores_any_name), board.store.details
    parts = [
        await details.fetch_points(
            kind, part, edges, one_by_one(compute), Needs(medians=True), size=_size, asked_at=asked_at
        )
        for part in await details.parts(query, edges, asked_at=asked_at)
    ]
    return [_join(bucket) for bucket in zip(*parts, strict=True)]


def _size(scores: OwnerScores) -> int:
    """Bytes in memory, approximately."""
    return 500 + scores.owner.nbytes + scores.score.nbytes


def lines_of(buckets: Sequence[OwnerScores], columns: GroupColumns, owners: Indices) -> Doubles:
    """The scores of some orchestrators, given by number in `columns`, in each bucket; NaN without one. Shape (owners, buckets)"""
    table = np.full((len(buckets), len(owners)), np.nan)
    position = np.full(len(columns.owners), -1)
    position[owners] = np.arange(len(owners))
    for row, bucket in zip(table, buckets, strict=True):
        own = _numbers_in(columns, bucket)
        at = np.where(own >= 0, position[own], -1)
        row[at[at >= 0]] = bucket.score[at >= 0]
    return table.T


def _join(parts: Sequence[OwnerScores]) -> OwnerScores:
    """The scores of all orchestrators in one bucket. parts -- of others each; at least one"""
    if len(parts) == 1:
        return parts[0]
    columns = parts[0].columns
    owner = np.concatenate([_numbers_in(columns, part) for part in parts])
    return OwnerScores(columns, owner, np.concatenate([part.score for part in parts]))


def _numbers_in(columns: GroupColumns, bucket: OwnerScores) -> Indices:
    """The numbers in some columns of the orchestrators with scores; -1 for those that are not there."""
    if bucket.columns is columns:
        return bucket.owner
    # A region has changed between two queries.
    numbers = {name: number for number, name in enumerate(columns.owners)}
    return np.array(
        [numbers.get(bucket.columns.owners[each], -1) for each in bucket.owner.tolist()], np.int64
    )
