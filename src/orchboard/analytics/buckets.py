"""Buckets of a window: on the local clock of a time zone, also across its changes."""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from orchboard.errors import BadInputError
from orchboard.reports.history import BUCKET_HOURS, BucketSize
from orchboard.stats import Window

BUCKET_SIZES: tuple[BucketSize, ...] = get_args(BucketSize)

FIRST_START = datetime(1900, 1, 1, tzinfo=UTC)
"""No bucket begins earlier: there are no results, and calendars and clocks end somewhere before."""

# What IANA calls its zones. Others on a machine are none (`localtime`) or count leap seconds (`right/UTC`).
_ZONE_NAME = re.compile(r"(?!posix|right|localtime)[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")


RoundBound: TypeAlias = Callable[[datetime], datetime]
"""Rounds a bound down to one that rollups have where results are not kept; see `DetailReader.round_bounds`."""


def round_edges(bounds: Iterable[datetime], round_bound: RoundBound) -> list[datetime]:
    """Bounds of buckets, rounded, ascending. Bounds that become equal are one, so that no bucket has the length 0."""
    return sorted({round_bound(bound) for bound in bounds})


class Buckets(Struct, frozen=True):
    """Consecutive buckets; there may be none.

    edges -- the bounds of receipt time to count by: bucket i is [edges[i], edges[i + 1])
    ends -- the end of each bucket as it is shown: the last one ends now, although results dated a little later count in it
    is_partial -- whether the window or the present cuts it
    """

    edges: list[datetime]
    ends: list[datetime]
    is_partial: list[bool]


NO_BUCKETS = Buckets([], [], [])


def parse_zone(name: str) -> tzinfo:
    """The time zone with an IANA name. Raises BadInputError."""
    if name == "UTC":
        return UTC
    try:
        if _ZONE_NAME.fullmatch(name):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise BadInputError(f"tz must be the IANA name of a time zone, such as Europe/Berlin, not {name[:40]!r}")


def divide(
    window: Window,
    end: datetime,
    now: datetime,
    size: BucketSize,
    zone: tzinfo,
    round_bound: RoundBound = lambda bound: bound,
) -> Buckets:
    """The buckets of a window, without those of the future. The first and last may be partial.

    end -- up to when results count, not included: just after the window's end; after `now` for a window without an end
    """
    since, end = round_bound(window.since), round_bound(end)
    last = min(window.until, now, end)
    if since > last or since >= end:
        return NO_BUCKETS
    starts = round_edges(bucket_starts(since, last, size, zone), round_bound)
    edges = [since, *(start for start in starts if since < start < last), end]
    is_partial = [False] * (len(edges) - 1)
    is_partial[0] = since not in starts
    is_partial[-1] |= last < starts[-1]
    return Buckets(edges, [*edges[1:-1], last], is_partial)


def fit(window: Window, now: datetime, points: int) -> BucketSize:
    """The smallest size that divides a window into at most `points` buckets; the largest if none does."""
    fitting = (size for size in BUCKET_SIZES if most_buckets(window, now, size) <= points)
    return next(fitting, BUCKET_SIZES[-1])


def most_buckets(window: Window, now: datetime, size: BucketSize) -> int:
    """The largest number of buckets that the window may have, with partial ones."""
    return math.ceil((min(window.until, now) - window.since) / timedelta(hours=BUCKET_HOURS[size])) + 1


def bucket_starts(since: datetime, until: datetime, size: BucketSize, zone: tzinfo) -> list[datetime]:
    """The starts of buckets in UTC: from the last one at or before `since` to the first one after it that is not before `until`.

    Days begin at midnight or, where the clock skips it, at the first moment after it. Buckets of 7 days begin on Mondays, those
    of 30 days are counted from the first day of the calendar.
    """
    days = BUCKET_HOURS[size] // 24
    step = max(days, 1)
    first = since.astimezone(zone).date().toordinal()
    first -= (first - 1) % step
    last = until.astimezone(zone).date().toordinal()
    starts: set[datetime] = set()
    for ordinal in range(first, last + 2 * step, step):
        day = date.fromordinal(ordinal)
        starts.update([_utc(day, 0, zone)] if days else _hours_of(day, BUCKET_HOURS[size], zone))
    ordered = sorted(starts)
    begin = bisect_right(ordered, since) - 1
    following = max(bisect_left(ordered, until), begin + 1)
    return ordered[begin : following + 1]


def _hours_of(day: date, step: int, zone: tzinfo) -> Iterator[datetime]:
    """Every `step` hours of a day; hours that the clock goes through twice too if each is a bucket."""
    for hour in range(0, 24, step):
        yield _utc(day, hour, zone)
        again = _utc(day, hour, zone, fold=1)
        if step == 1 and again > _utc(day, hour, zone):
            yield again


def _utc(day: date, hour: int, zone: tzinfo, fold: int = 0) -> datetime:
    return datetime.combine(day, time(hour, fold=fold), zone).astimezone(UTC)
