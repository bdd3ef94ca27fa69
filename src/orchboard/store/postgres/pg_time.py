"""Moments as Postgres counts them: whole microseconds since 2000, in one integer."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

SECOND = 1_000_000


def to_pg_time(when: datetime) -> int:
    """Microseconds since 2000 in UTC, negative before.

    >>> to_pg_time(datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (when - EPOCH) // _MICROSECOND


def from_pg_time(moment: int) -> datetime:
    """The aware datetime of a moment, in UTC."""
    return EPOCH + moment * _MICROSECOND
