"""Moments as Postgres counts them: whole microseconds since 2000, in one integer."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

SECOND = 1_000_000


def to_moment(when: datetime) -> int:
    """Microseconds since 2000 in UTC, negative before.

    >>> to_moment(datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (when - EPOCH) // _MICROSECOND


def to_datetime(moment: int) -> datetime:
    """The aware datetime of a moment, in UTC."""
    return EPOCH + moment * _MICROSECOND
