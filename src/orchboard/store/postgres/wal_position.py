"""Positions in the write-ahead log as single numbers."""

# A position is one number, so that it fits into a change counter: the timeline, then the bytes of WAL. After a failover the
# timeline is higher, and an earlier position of it is later than any of the one before.
_TIMELINE_BITS, _LSN_BITS = 12, 52


def position_of(timeline: int, lsn: int) -> int:
    """A position in the WAL as one number. lsn -- bytes

    >>> position_of(2, 10) > position_of(1, 5000)
    True
    """
    return int(timeline % 2**_TIMELINE_BITS) << _LSN_BITS | lsn


def lsn_of(position: int) -> int:
    """The bytes of a position.

    >>> lsn_of(position_of(2, 10))
    10
    """
    return int(position % 2**_LSN_BITS)
