"""What results are told apart by before they are sent: an id and a receipt time, which make their primary key."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from orchboard.store.kept_connection import KeptConnection
from orchboard.store.queries import sql

# So many ids are taken at once, if so many were used since the last time; what is left at the end is lost.
_FIRST_BLOCK, _LAST_BLOCK = 100, 1_000

# How old what is known of the database's clock may get.
_CLOCK_S = 60.0


class Receipt(Struct, frozen=True):
    """A result's id in `events` and when it was received: sent again with both, it is stored once."""

    id: int
    event_time: datetime


class Receipts:
    """Receipts by the database's clock. What reading them takes is shared by thousands of results.

    connection -- the one that the results are sent on
    """

    def __init__(self, connection: KeptConnection) -> None:
        self._connection = connection
        self._ids: Sequence[int] = ()
        self._next = 0
        self._block = _FIRST_BLOCK
        self._offset = timedelta()
        self._read_at = -_CLOCK_S

    def has(self, number: int) -> bool:
        """Whether there are so many without reading."""
        return self._next + number <= len(self._ids) and time.monotonic() - self._read_at <= _CLOCK_S

    def take(self, number: int) -> tuple[datetime, Sequence[int]]:
        """A receipt time for results that are sent now, and their ids, rising; as many as it `has`."""
        first, self._next = self._next, self._next + number
        return datetime.now(UTC) + self._offset, self._ids[first : self._next]

    async def read(self, number: int) -> None:
        """Have so many, and more. Raises what sending raises."""
        left = self._ids[self._next :]
        wanted = 0 if len(left) >= number else max(number, self._block)
        earliest = datetime.now(UTC)
        [row] = await self._connection.fetch(sql("reserve"), wanted)
        latest = datetime.now(UTC)
        # The database looked at its clock between the two: if that can be one clock, it is.
        is_ours = earliest <= row["now"] <= latest
        self._offset = timedelta() if is_ours else row["now"] - earliest - (latest - earliest) / 2
        if wanted:
            self._block = min(self._block * 4, _LAST_BLOCK)
            self._ids, self._next = [*left, *row["ids"]], 0
        self._read_at = time.monotonic()
