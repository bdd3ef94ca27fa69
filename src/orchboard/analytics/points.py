"""The buckets of a window, and what each adds up to, without reading those before the first result."""

from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from orchboard.analytics.buckets import BUCKET_SIZES, FIRST_START, Buckets, divide, fit, most_buckets
from orchboard.analytics.history_request import MAX_POINTS
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.reports.history import BucketSize
from orchboard.stats import SeriesQuery, Window
from orchboard.store.details.details import Details, Needs
from orchboard.window import LATEST

T = TypeVar("T")

# A longer window begins at the first result: it is requested to see everything, not to see that there was nothing before.
_LONG = timedelta(days=366)

# 1000 of the largest buckets, with room for the partial ones.
_LONGEST = timedelta(days=30 * (MAX_POINTS - 2))


class Divided(NamedTuple):
    """A window in buckets. window -- as it was requested, with the bounds that are used where results are not kept"""

    window: Window
    size: BucketSize
    buckets: Buckets


async def divide_window(
    board: Leaderboard,
    requested: Window,
    now: datetime,
    points: int,
    *,
    size: BucketSize | None = None,
    zone: tzinfo = UTC,
) -> Divided:
    """Divide the part of a window that may have results. Where results are not kept, buckets are those of rollups, or longer.

    points -- the largest number of buckets if there is no size
    Raises BadInputError if the window has too many buckets of the size.
    """
    round_bound = await board.store.details.round_bounds()
    end = board.store.clock.exclusive_end_of(requested)
    used_end = round_bound(end)
    used = Window(round_bound(requested.since), requested.until if used_end == end else used_end)
    window = await _limited(board, used, now)
    least = await _least_size(board, window)
    fitting: BucketSize = max(fit(window, now, points), least, key=BUCKET_SIZES.index)
    chosen = size or fitting
    if most_buckets(window, now, chosen) > MAX_POINTS:
        larger = [each for each in BUCKET_SIZES if most_buckets(window, now, each) <= MAX_POINTS]
        raise BadInputError(
            f"bucket must be one of {', '.join(larger)} for this window, not {chosen}: at most {MAX_POINTS} buckets"
        )
    return Divided(used, chosen, divide(window, end, now, chosen, zone, round_bound))


async def _least_size(board: Leaderboard, window: Window) -> BucketSize:
    """The smallest size that is kept in the whole of a window."""
    kept = await board.store.retention.fetch()
    if kept is None or window.since >= kept.since:
        return BUCKET_SIZES[0]
    return "6h" if window.since >= kept.six_hours_since else "1d"


async def _limited(board: Leaderboard, window: Window, now: datetime) -> Window:
    """The part of a window that may have results, as far as it can be divided into buckets."""
    until = min(window.until, now)
    since = max(window.since, FIRST_START)
    if until - since > _LONG:
        since = max(await board.store.fetch_first_result_at(since) or LATEST, until - _LONGEST)
    return replace(window, since=since)


async def fetch_points(
    board: Leaderboard,
    kind: Hashable,
    query: SeriesQuery,
    edges: Sequence[datetime],
    compute: Callable[[Sequence[Details]], Sequence[T]],
    needs: Needs,
    *,
    empty: T,
    size: Callable[[T], int] = lambda _: 1_000,
) -> list[T]:
    """See `DetailReader.fetch_points`.

    empty -- of a bucket without results; it is not computed for those before the first one
    """
    first = await board.store.fetch_first_result_at(edges[0])
    # The last bucket may hold results that are dated a little later than now, which are not looked for.
    last = len(edges) - 2
    skipped = last if first is None else min(max(bisect_right(edges, first) - 1, 0), last)
    points = await board.store.details.fetch_points(kind, query, edges[skipped:], compute, needs, size=size)
    return [empty] * skipped + points
