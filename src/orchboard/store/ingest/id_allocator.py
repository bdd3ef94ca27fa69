"""What results are told apart by before they are sent: an id and a receipt time, which make their primary key."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from orchboard.store.postgres.clock import MAX_AGE_S, DatabaseClock
from orchboard.store.postgres.dedicated_connection import DedicatedConnection
from orchboard.store.sql_files import sql

# So many ids are taken at once, if so many were used since the last time; what is left at the end is lost.
_FIRST_BLOCK, _LAST_BLOCK = 100, 1_000

# A measurement that moves the clock back by less than this is a better one; more is a step.
_JITTER = timedelta(seconds=1)


class Receipt(Struct, frozen=True):
    """A result's id in `events` and when it was received: sent again with both, it is stored once."""

    id: int
    event_time: datetime


class KeyAllocator:
    """KeyAllocator by the database's clock. What reading them takes is shared by thousands of results.

    connection -- the one that the results are sent on
    """

    def __init__(self, connection: DedicatedConnection, clock: DatabaseClock) -> None:
        self._connection = connection
        self._clock = clock
        self._ids: Sequence[int] = ()
        self._next = 0
        self._block = _FIRST_BLOCK
        self._measured_on = 0  # which connection
        self._latest = datetime.min.replace(tzinfo=UTC)

    def has(self, number: int) -> bool:
        """Whether there are that many without asking the database; never on a new connection, whose clock may differ."""
        return (
            self._next + number <= len(self._ids)
            and self._measured_on == self._connection.number
            and self._clock.age_s <= MAX_AGE_S
        )

    def take(self, number: int) -> tuple[datetime, Sequence[int]]:
        """A receipt time for results that are sent now, never before the last one, and their ids, rising.

        As many as it `has`. Only a step of the database's clock takes receipt times back.
        """
        first, self._next = self._next, self._next + number
        now = self._clock.now()
        if now < self._latest < now + _JITTER:
            now = self._latest
        self._latest = now
        return now, self._ids[first : self._next]

    async def read(self, number: int) -> None:
        """Have that many, and more; measure the clock. Raises what sending raises."""
        left = self._ids[self._next :]
        wanted = 0 if len(left) >= number else max(number, self._block)
        sent_at = time.monotonic()
        [row] = await self._connection.fetch(sql("allocate_ids"), wanted)
        self._clock.measure(row["now"], sent_at, time.monotonic())
        self._measured_on = self._connection.number
        if wanted:
            self._block = min(self._block * 4, _LAST_BLOCK)
            self._ids, self._next = [*left, *row["ids"]], 0
