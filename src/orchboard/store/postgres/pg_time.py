"""Timestamps as Postgres stores them: an integer of microseconds since 2000-01-01 UTC."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

SECOND = 1_000_000


def to_pg_time(when: datetime) -> int:
    """Microseconds since 2000-01-01 UTC of an aware datetime; negative before.

    >>> to_pg_time(datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (when - EPOCH) // _MICROSECOND


def from_pg_time(pg_time: int) -> datetime:
    """The aware datetime, in UTC, of microseconds since 2000-01-01."""
    return EPOCH + pg_time * _MICROSECOND
