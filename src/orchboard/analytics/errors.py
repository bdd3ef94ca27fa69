"""The errors of results: which, how often, where."""

from collections import defaultdict

from orchboard.analytics.scope import Scope, envelope_of
from orchboard.leaderboard import Leaderboard
from orchboard.reports.errors import ErrorCode, Errors
from orchboard.store.postgres.clock import from_pg_time


async def errors(board: Leaderboard, scope: Scope) -> Errors:
    """The errors in a window."""
    window = scope.window.resolve(board)
    details = await board.store.details.fetch(scope.query, window)
    envelope = envelope_of(scope.window, window, board.now(), details)
    by_code = defaultdict(list)
    for error in details.sums.errors:
        by_code[error.code].append(error)
    total = max(int(details.sums.results.sum() + details.sums.unscored.sum()), 1)
    found = []
    for code, sums in by_code.items():
        results = sum(error.results for error in sums)
        latest = max(sums, key=lambda error: (bool(error.message), error.last))
        found.append(
            ErrorCode(
                code,
                results,
                results / total,
                sum(error.count for error in sums),
                from_pg_time(min(error.first for error in sums)),
                from_pg_time(max(error.last for error in sums)),
                latest.message,
            )
        )
    return Errors(**envelope, errors=sorted(found, key=lambda each: (-each.results, each.code)))
