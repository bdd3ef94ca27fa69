"""The errors of results: which, how often, where."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from orchboard.analytics.scope import Scope, envelope_of
from orchboard.leaderboard import Leaderboard
from orchboard.reports.errors import ErrorCode, ErrorGroup, Errors
from orchboard.stats import Series
from orchboard.store.details.details import Details
from orchboard.store.details.error_sums import ErrorSum
from orchboard.store.details.sums import NETWORK
from orchboard.store.postgres.clock import from_pg_time

MAX_CODES = 200
"""Error codes in an answer, the most frequent: codes are free text of testers."""

GroupKey = tuple[str, str]
"""The name of a group, and its pipeline if it is a model."""

GROUPS: Mapping[str, Callable[[Series], GroupKey]] = {
    "region": lambda series: (series.region, ""),
    "pipeline": lambda series: (series.pipeline, ""),
    "model": lambda series: (series.model, series.pipeline),
    "tester": lambda series: (series.tester, ""),
}


async def errors(board: Leaderboard, scope: Scope, by: str | None = None) -> Errors:
    """The errors in a window. by -- `code` or one of GROUPS; None: all of them"""
    window = scope.window.resolve(board)
    query = scope.query
    if query.orchestrators is None:  # the network's series are fewer
        query = replace(query, orchestrators=frozenset([NETWORK]))
    details = await board.store.details.fetch(query, window, with_medians=False, with_round_trips=False)
    envelope = envelope_of(scope.window, window, board.now(), details)
    lists: dict[str, Any] = {
        f"{name}s": group_errors(details, key) if by in (None, name) else None for name, key in GROUPS.items()
    }
    codes = count_codes(details.sums.errors, envelope["results"]) if by in (None, "code") else None
    return Errors(**envelope, errors=codes, **lists)


def count_codes(errors: Iterable[ErrorSum], results: int) -> list[ErrorCode]:
    """The errors by code, the most frequent first. results -- those that `share` is relative to"""
    by_code = defaultdict(list)
    for error in errors:
        by_code[error.code].append(error)
    found = []
    for code, sums in by_code.items():
        affected, count, first_at, last_at = _totals(sums)
        share = affected / max(results, 1)
        found.append(ErrorCode(code, affected, share, count, first_at, last_at, _example(sums)))
    return sorted(found, key=lambda each: (-each.results, each.code))[:MAX_CODES]


def group_errors(details: Details, key: Callable[[Series], GroupKey]) -> list[ErrorGroup]:
    """The errors of each group that has any, the most frequent first."""
    sums, series = details.sums, details.index.all
    by_group = defaultdict(list)
    for error in sums.errors:
        by_group[key(series[error.series])].append(error)
    tested: dict[GroupKey, int] = dict.fromkeys(by_group, 0)
    for number, results in zip(sums.series.tolist(), (sums.results + sums.unscored).tolist(), strict=True):
        group = key(series[number])
        if group in tested:
            tested[group] += results
    total = sum(error.results for error in sums.errors)
    found = [_group(group, by_group[group], tested[group], total) for group in by_group]
    return sorted(found, key=lambda each: (-each.results, each.pipeline, each.name))


def _group(group: GroupKey, errors: Sequence[ErrorSum], tested: int, total: int) -> ErrorGroup:
    affected, count, first_at, last_at = _totals(errors)
    top = count_codes(errors, tested)[0]
    return ErrorGroup(
        name=group[0],
        pipeline=group[1],
        tested=tested,
        results=affected,
        share=affected / total,
        rate=affected / tested,
        count=count,
        first_at=first_at,
        last_at=last_at,
        code=top.code,
        example=top.example,
    )


def _totals(errors: Sequence[ErrorSum]) -> tuple[int, int, datetime, datetime]:
    """The number of results, the count of occurrences, and the first and last receipt time."""
    return (
        sum(error.results for error in errors),
        sum(error.count for error in errors),
        from_pg_time(min(error.first for error in errors)),
        from_pg_time(max(error.last for error in errors)),
    )


def _example(errors: Iterable[ErrorSum]) -> str:
    """The message of the last result that has one."""
    return max(errors, key=lambda error: (bool(error.message), error.last, error.message)).message
