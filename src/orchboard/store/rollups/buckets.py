"""Buckets of receipt time in UTC, in six granularities: 1 minute, 10 minutes, 1 hour, 6 hours, 1 day, 1 calendar month."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from orchboard.store.postgres.clock import round_down


class Granularity(Struct, frozen=True):
    """A length of bucket.

    number -- as in the table `rollup_buckets`; longer buckets have larger numbers
    retention -- after which buckets are deleted, None for never: only recent windows need short buckets at their edges
    start_of -- the start of the bucket that contains a time
    end_of -- the end of the bucket that starts at a time
    """

    number: int
    retention: timedelta | None
    start_of: Callable[[datetime], datetime]
    end_of: Callable[[datetime], datetime]


class Bucket(Struct, frozen=True, order=True):
    """The range [start, end) of receipt time; granularity -- its number."""

    granularity: int
    start: datetime
    end: datetime


def _fixed(number: int, length: timedelta, retention: timedelta | None) -> Granularity:
    return Granularity(
        number,
        retention,
        lambda moment: round_down(moment, length),
        lambda start: start + length,
    )


def _start_of_month(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _end_of_month(start: datetime) -> datetime:
    return _start_of_month(start + timedelta(days=31))


# Windows usually end now, so that minutes matter only at recent edges. Six hours end where a window ends that starts at
# midnight in another time zone. Single minutes limit what a busy server holds in memory; a quiet server builds none.
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
    """The buckets that overlap [since, until], in every granularity within its retention; sorted.

    >>> january = [datetime(2000, 1, day, tzinfo=UTC) for day in (1, 2, 5)]
    >>> [bucket.granularity for bucket in buckets_between(january[0], january[1], now=january[2])]
    [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 5]
    """
    found = []
    for granularity in GRANULARITIES:
        earliest = since if granularity.retention is None else max(since, now - granularity.retention)
        start = granularity.start_of(earliest)
        while start <= until:
            found.append(Bucket(granularity.number, start, granularity.end_of(start)))
            start = granularity.end_of(start)
    return found
