"""Scores, success rates and round trips over time."""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from orchboard.analytics.buckets import Buckets, parse_zone
from orchboard.analytics.history_lines import (
    LINE_OF,
    NO_LINES,
    QUANTILES,
    RESULTS,
    SCORE,
    SUCCESS_RATE,
    UNSCORED,
    LineRows,
    LineTable,
    line_rows,
)
from orchboard.analytics.history_request import MAX_LINES, HistoryRequest
from orchboard.analytics.nullable import with_none
from orchboard.analytics.points import divide_window, fetch_points
from orchboard.analytics.scope import answer_window
from orchboard.leaderboard import Leaderboard
from orchboard.reports.history import History, HistoryLine, HistoryPoint
from orchboard.scoring import Doubles
from orchboard.store.details.details import Needs
from orchboard.store.details.sums import NETWORK
from orchboard.store.postgres.clock import from_pg_time


class _Span(NamedTuple):
    """When a bucket is, in the time zone of the answer. is_partial -- whether the window or the present cuts it"""

    since: datetime
    until: datetime
    is_partial: bool


async def history(board: Leaderboard, request: HistoryRequest) -> History:
    """The history of a window. Raises BadInputError if the window has too many buckets of the requested size."""
    requested, now, zone = request.scope.window.resolve(board), board.now(), parse_zone(request.tz)
    divided = await divide_window(board, requested, now, request.points, size=request.bucket, zone=zone)
    buckets = divided.buckets
    table = LineTable(await _fetch(board, request, buckets))
    names = _names(request, table)
    spans = _spans(buckets, zone)
    return History(
        generated_at=now,
        last_result_at=None if table.last is None else from_pg_time(table.last),
        window=answer_window(request.scope.window, divided.window, now),
        results=int(table.totals.sum()),
        bucket=divided.size,
        tz=request.tz,
        by=request.by,
        lines=[_line(name, table.line(name), spans) for name in names[:MAX_LINES]],
        lines_left_out=max(len(names) - MAX_LINES, 0),
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
    scores_any_name, line_of = is_pooled or board.scores_any_name, LINE_OF[request.by]
    return await fetch_points(
        board,
        kind,
        query,
        buckets.edges,
        lambda details: line_rows(details, line_of, scores_any_name=scores_any_name),
        Needs(medians=True, round_trips=True),
        empty=NO_LINES,
    )


def _names(request: HistoryRequest, table: LineTable) -> list[str]:
    """The names of all lines, in order."""
    if request.by == "network":
        return [NETWORK]
    if request.by == "orchestrator":
        return list(request.orchestrators)
    totals = dict(zip(table.names, table.totals.tolist(), strict=True))
    return sorted(totals, key=lambda name: (-totals[name], name))


def _spans(buckets: Buckets, zone: tzinfo) -> list[_Span]:
    """Of each bucket."""
    spans = zip(buckets.edges, buckets.ends, buckets.is_partial, strict=False)  # the last edge begins none
    return [
        _Span(since.astimezone(zone), until.astimezone(zone), is_partial)
        for since, until, is_partial in spans
    ]


def _line(name: str, numbers: Doubles, spans: Sequence[_Span]) -> HistoryLine:
    """A line of the answer. numbers -- see LineTable.line"""
    results, unscored = np.nan_to_num(numbers[:, (RESULTS, UNSCORED)]).astype(np.int64).T
    rates = with_none(np.column_stack([numbers[:, (SCORE, SUCCESS_RATE)], numbers[:, QUANTILES]]))
    points = [
        HistoryPoint(
            since=span.since,
            until=span.until,
            is_partial=span.is_partial,
            results=scored,
            unscored=others,
            score=score,
            success_rate=success_rate,
            p50=p50,
            p75=p75,
            p90=p90,
            p99=p99,
        )
        for span, scored, others, (score, success_rate, p50, p75, p90, p99) in zip(
            spans, results.tolist(), unscored.tolist(), rates, strict=True
        )
    ]
    return HistoryLine(name=name, results=int(results.sum()), unscored=int(unscored.sum()), points=points)
