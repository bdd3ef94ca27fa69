"""Scores, success rates and round trips over time."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import TypeAlias

import numpy as np
from msgspec.structs import replace

from orchboard.analytics.buckets import (
    BUCKET_SIZES,
    FIRST_START,
    Buckets,
    divide,
    fit,
    most_buckets,
    parse_zone,
)
from orchboard.analytics.history_lines import (
    LAST,
    QUANTILES,
    RESULTS,
    SCORE,
    SUCCESS_RATE,
    UNSCORED,
    LineRows,
    line_rows,
)
from orchboard.analytics.history_request import MAX_LINES, MAX_POINTS, HistoryRequest
from orchboard.analytics.points import fetch_points
from orchboard.analytics.scope import answer_window
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.reports.history import BucketSize, History, HistoryLine, HistoryPoint
from orchboard.stats import Window
from orchboard.store.details.sums import NETWORK
from orchboard.store.postgres.clock import from_pg_time
from orchboard.window import LATEST

Row: TypeAlias = Sequence[float]
"""A row of `LineRows.numbers`."""

_MICROSECOND = timedelta(microseconds=1)

# A longer window begins at the first result: it is requested to see everything, not to see that there was nothing before.
_LONG = timedelta(days=366)

# 1000 of the largest buckets, with room for the partial ones.
_LONGEST = timedelta(days=30 * (MAX_POINTS - 2))


async def history(board: Leaderboard, request: HistoryRequest) -> History:
    """The history of a window. Raises BadInputError if the window has too many buckets of the requested size."""
    requested, now, zone = request.scope.window.resolve(board), board.now(), parse_zone(request.tz)
    window = await _limited(board, requested, now)
    size = request.bucket or fit(window, now, request.points)
    _check_number(window, now, size)
    buckets = divide(window, board.store.clock.end_of(window) + _MICROSECOND, now, size, zone)
    by_bucket = [
        dict(zip(rows.names, rows.numbers.tolist(), strict=True))
        for rows in await _fetch(board, request, buckets)
    ]
    names = _names(request, by_bucket)
    rows = [row for bucket in by_bucket for row in bucket.values()]
    return History(
        generated_at=now,
        last_result_at=from_pg_time(int(max(row[LAST] for row in rows))) if rows else None,
        window=answer_window(request.scope.window, requested, now),
        results=int(sum(row[RESULTS] + row[UNSCORED] for row in rows)),
        bucket=size,
        tz=request.tz,
        by=request.by,
        lines=[_line(name, by_bucket, buckets, zone) for name in names[:MAX_LINES]],
        lines_left_out=max(len(names) - MAX_LINES, 0),
    )


async def _limited(board: Leaderboard, window: Window, now: datetime) -> Window:
    """The part of a window that may have results, as far as it can be divided into buckets."""
    until = min(window.until, now)
    since = max(window.since, FIRST_START)
    if until - since > _LONG:
        since = max(await board.store.fetch_first_result_at(since) or LATEST, until - _LONGEST)
    return replace(window, since=since)


def _check_number(window: Window, now: datetime, size: BucketSize) -> None:
    if most_buckets(window, now, size) > MAX_POINTS:
        larger = [each for each in BUCKET_SIZES if most_buckets(window, now, each) <= MAX_POINTS]
        raise BadInputError(
            f"bucket must be one of {', '.join(larger)} for this window, not {size}: at most {MAX_POINTS} buckets"
        )


async def _fetch(board: Leaderboard, request: HistoryRequest, buckets: Buckets) -> list[LineRows]:
    """The rows of each bucket. The network's are read from its own series, which are fewer."""
    if not buckets.edges:
        return []
    query = request.scope.query
    is_pooled = not request.orchestrators
    if is_pooled:
        query = replace(query, orchestrators=frozenset([NETWORK]))
    # Points are kept by bucket, as long as they are small.
    kind = ("history", request.by) if request.by in ("network", "orchestrator") else None
    scores_any_name = is_pooled or board.scores_any_name
    return await fetch_points(
        board,
        kind,
        query,
        buckets.edges,
        lambda details: line_rows(details, request.line_of, scores_any_name=scores_any_name),
        empty=LineRows((), np.zeros((0, 0))),
    )


def _names(request: HistoryRequest, by_bucket: Sequence[Mapping[str, Row]]) -> list[str]:
    """The names of all lines, in order."""
    if request.by == "network":
        return [NETWORK]
    if request.by == "orchestrator":
        return list(request.orchestrators)
    totals: dict[str, float] = {}
    for bucket in by_bucket:
        for name, row in bucket.items():
            totals[name] = totals.get(name, 0.0) + row[RESULTS] + row[UNSCORED]
    return sorted(totals, key=lambda name: (-totals[name], name))


def _line(name: str, by_bucket: Sequence[Mapping[str, Row]], buckets: Buckets, zone: tzinfo) -> HistoryLine:
    rows = [bucket.get(name) for bucket in by_bucket]
    spans = zip(buckets.edges, buckets.ends, buckets.is_partial, strict=False)  # the last edge begins none
    points = [
        _point(row, since.astimezone(zone), until.astimezone(zone), is_partial)
        for row, (since, until, is_partial) in zip(rows, spans, strict=True)
    ]
    return HistoryLine(
        name=name,
        results=sum(point.results for point in points),
        unscored=sum(point.unscored for point in points),
        points=points,
    )


def _point(row: Row | None, since: datetime, until: datetime, is_partial: bool) -> HistoryPoint:
    if row is None:
        results = unscored = 0
        numbers: list[float | None] = [None] * 6
    else:
        results, unscored = int(row[RESULTS]), int(row[UNSCORED])
        numbers = [
            None if math.isnan(number) else number
            for number in (row[SCORE], row[SUCCESS_RATE], *row[QUANTILES])
        ]
    score, success_rate, p50, p75, p90, p99 = numbers
    return HistoryPoint(
        since=since,
        until=until,
        is_partial=is_partial,
        results=results,
        unscored=unscored,
        score=score,
        success_rate=success_rate,
        p50=p50,
        p75=p75,
        p90=p90,
        p99=p99,
    )
