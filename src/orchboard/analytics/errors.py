"""The errors of results: which, how often, where."""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from msgspec.structs import replace

from orchboard.analytics.buckets import Buckets
from orchboard.analytics.points import divide_window, fetch_points
from orchboard.analytics.scope import Scope, envelope_of
from orchboard.leaderboard import Leaderboard
from orchboard.reports.errors import ErrorCode, ErrorGroup, Errors
from orchboard.stats import SeriesQuery
from orchboard.store.details.details import Details, Needs
from orchboard.store.details.error_sums import ErrorSums, add_up_errors
from orchboard.store.details.reader import one_by_one
from orchboard.store.details.series_keys import KindKey
from orchboard.store.details.sums import NETWORK
from orchboard.store.postgres.clock import from_pg_time
from orchboard.store.rollups.group_index import Indices, is_run_start

MAX_CODES = 200
"""Error codes in an answer, the most frequent: codes are free text of testers."""

GroupKey = tuple[str, str]
"""The name of a group, and its pipeline if it is a model."""

GROUPS: Mapping[str, KindKey[GroupKey]] = {
    "region": KindKey(lambda series: (series.region, "")),
    "pipeline": KindKey(lambda series: (series.pipeline, "")),
    "model": KindKey(lambda series: (series.model, series.pipeline)),
    "tester": KindKey(lambda series: (series.tester, "")),
}


async def errors(
    board: Leaderboard, scope: Scope, by: str | None = None, points: int | None = None
) -> Errors:
    """The errors in a window.

    by -- `code` or one of GROUPS; None: all of them
    points -- the largest number of buckets to count each code in; None: not by bucket
    """
    window = scope.window.resolve(board)
    query = scope.query
    if query.orchestrators is None:  # the network's series are fewer
        query = replace(query, orchestrators=frozenset([NETWORK]))
    details = await board.store.details.fetch(query, window, Needs(errors=True))
    envelope = envelope_of(scope.window, window, board.now(), details)
    lists: dict[str, Any] = {
        f"{name}s": group_errors(details, key) if by in (None, name) else None for name, key in GROUPS.items()
    }
    codes = count_codes(details.sums.errors, envelope["results"]) if by in (None, "code") else None
    if points is not None and codes is not None:
        _, size, buckets = await divide_window(board, window, envelope["generated_at"], points)
        counts = await _count_by_bucket(board, query, buckets)
        return Errors(
            **envelope,
            errors=[replace(each, by_bucket=[counted[each.code] for counted in counts]) for each in codes],
            **lists,
            bucket=size,
            buckets=buckets.edges[:-1],
        )
    return Errors(**envelope, errors=codes, **lists)


async def _count_by_bucket(board: Leaderboard, query: SeriesQuery, buckets: Buckets) -> list[Counter[str]]:
    """The results with each code, in each bucket."""
    if not buckets.edges:
        return []
    needs, empty = Needs(errors=True), Counter[str]()
    return await fetch_points(
        board, "error codes", query, buckets.edges, one_by_one(_codes), needs, empty=empty, size=_size
    )


def _size(codes: Counter[str]) -> int:
    """Bytes in memory, approximately."""
    return 300 + 200 * len(codes)


def _codes(details: Details) -> Counter[str]:
    found: Counter[str] = Counter()
    for code, results in zip(
        details.sums.errors.code.tolist(), details.sums.errors.results.tolist(), strict=True
    ):
        found[code] += results
    return found


def count_codes(errors: ErrorSums, results: int) -> list[ErrorCode]:
    """The errors by code, the most frequent first. results -- those that `share` is relative to"""
    by_code = add_up_errors([replace(errors, series=np.zeros(len(errors), np.int64))])
    # Codes are sorted in Python: numpy compares objects no faster.
    codes, results_of = by_code.code.tolist(), by_code.results.tolist()
    most = sorted(range(len(codes)), key=lambda at: (-results_of[at], codes[at]))[:MAX_CODES]
    return [
        ErrorCode(
            each.code,
            each.results,
            each.results / max(results, 1),
            each.count,
            from_pg_time(each.first),
            from_pg_time(each.last),
            each.message,
        )
        for each in by_code.select(np.array(most, np.int64))
    ]


def group_errors(details: Details, key: KindKey[GroupKey]) -> list[ErrorGroup]:
    """The errors of each group that has any, the most frequent first."""
    sums = details.sums
    groups, position = details.index.grouped(sums.series, key)
    tested = np.bincount(position, sums.results + sums.unscored, len(groups))
    group = position[np.searchsorted(sums.series, sums.errors.series)]
    total_errors = add_up_errors([replace(sums.errors, series=group)])
    by_code = total_errors.select(np.argsort(total_errors.series, kind="stable"))
    edges = [*np.flatnonzero(is_run_start(by_code.series)).tolist(), len(by_code)]
    of_group = [by_code.select(np.arange(start, end)) for start, end in pairwise(edges)]
    total = int(by_code.results.sum())
    found = [
        _group(groups[int(errors.series[0])], errors, int(tested[errors.series[0]]), total)
        for errors in of_group
    ]
    return sorted(found, key=lambda each: (-each.results, each.pipeline, each.name))


def _group(group: GroupKey, errors: ErrorSums, tested: int, total: int) -> ErrorGroup:
    """The errors of one group, each code once."""
    affected = int(errors.results.sum())
    [top] = errors.select(_most_frequent(errors))
    return ErrorGroup(
        name=group[0],
        pipeline=group[1],
        tested=tested,
        results=affected,
        share=affected / total,
        rate=affected / tested,
        count=int(errors.count.sum()),
        first_at=from_pg_time(int(errors.first.min())),
        last_at=from_pg_time(int(errors.last.max())),
        code=top.code,
        example=top.message,
    )


def _most_frequent(errors: ErrorSums) -> Indices:
    """The position of the code with the most results; of equal ones the first in alphabetical order."""
    most = np.flatnonzero(errors.results == errors.results.max())
    first = min(most.tolist(), key=errors.code.__getitem__)
    return np.array([first])
