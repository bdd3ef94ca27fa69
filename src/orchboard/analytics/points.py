"""What consecutive buckets add up to, without reading those before the first result."""

from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from typing import TypeVar

from orchboard.leaderboard import Leaderboard
from orchboard.stats import SeriesQuery
from orchboard.store.details.details import Details, Needs

T = TypeVar("T")


async def fetch_points(
    board: Leaderboard,
    kind: Hashable,
    query: SeriesQuery,
    edges: Sequence[datetime],
    compute: Callable[[Sequence[Details]], Sequence[T]],
    needs: Needs,
    *,
    empty: T,
) -> list[T]:
    """See `DetailReader.fetch_points`.

    empty -- of a bucket without results; it is not computed for those before the first one
    """
    first = await board.store.fetch_first_result_at(edges[0])
    # The last bucket may hold results that are dated a little later than now, which are not looked for.
    last = len(edges) - 2
    skipped = last if first is None else min(max(bisect_right(edges, first) - 1, 0), last)
    points = await board.store.details.fetch_points(kind, query, edges[skipped:], compute, needs)
    return [empty] * skipped + points
