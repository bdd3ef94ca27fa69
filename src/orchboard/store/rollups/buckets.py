"""Spans of receipt time: a minute, ten, an hour, six hours, a day, a calendar month, in UTC."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec import Struct

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Granularity(Struct, frozen=True):
    """One length of span.

    number -- as in the table `spans`; larger ones are longer
    retention -- how long its spans are kept, None for ever: an old window's ragged edges need no short ones
    start_of -- the start of the span that a moment lies in
    end_of -- the end of the span that starts at a moment
    """

    number: int
    retention: timedelta | None
    start_of: Callable[[datetime], datetime]
    end_of: Callable[[datetime], datetime]


class Bucket(Struct, frozen=True, order=True):
    """[start, end) on one level."""

    level: int
    start: datetime
    end: datetime


def _fixed(number: int, length: timedelta, retention: timedelta | None) -> Granularity:
    return Granularity(
        number,
        retention,
        lambda moment: _EPOCH + (moment - _EPOCH) // length * length,
        lambda start: start + length,
    )


def _start_of_month(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _end_of_month(start: datetime) -> datetime:
    return _start_of_month(start + timedelta(days=31))


# The default window is the last day: its edges are where minutes count. Six hours is where a window that
# begins at midnight in another time zone ends. Single minutes bound what a
# busy server holds in memory; a quiet one does without.
GRANULARITIES = (
    _fixed(0, timedelta(minutes=1), retention=timedelta(hours=1)),
    _fixed(1, timedelta(minutes=10), retention=timedelta(days=2)),
    _fixed(2, timedelta(hours=1), retention=timedelta(days=8)),
    _fixed(3, timedelta(hours=6), retention=None),
    _fixed(4, timedelta(days=1), retention=None),
    Granularity(5, None, _start_of_month, _end_of_month),
)
MINUTE, TEN_MINUTES, HOUR, SIX_HOURS, DAY, MONTH = GRANULARITIES


def buckets_between(since: datetime, until: datetime, *, now: datetime) -> list[Bucket]:
    """The spans that hold a moment of since..until, on every level that is still kept there; sorted.

    >>> january = [datetime(2000, 1, day, tzinfo=UTC) for day in (1, 2, 5)]
    >>> [span.level for span in buckets_between(january[0], january[1], now=january[2])]
    [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 5]
    """
    found = []
    for level in GRANULARITIES:
        start = level.start_of(since if level.retention is None else max(since, now - level.retention))
        while start <= until:
            found.append(Bucket(level.number, start, level.end_of(start)))
            start = level.end_of(start)
    return found
