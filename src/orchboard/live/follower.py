"""NewResultFollower: reads the results that are new since its last reading, for one reader."""

from collections.abc import AsyncGenerator

from orchboard.store.raw_results.cursor import Cursor, first_transaction
from orchboard.store.raw_results.new_results import (
    NewResult,
    NewResultReader,
    Position,
    PositionHistory,
    first_new_transaction,
)


class NewResultFollower:
    """The results that are new since the last reading.

    cursor -- everything before it was read
    """

    def __init__(self, reader: NewResultReader, first: Position) -> None:
        self._reader = reader
        self._history = PositionHistory(first)
        self.cursor = self._end(first)

    async def read(self) -> AsyncGenerator[list[NewResult], None]:
        """What was committed since, in pages. Broken off, it is read again next time from the last page on."""
        position = await self._reader.fetch_position()
        snapshot = self.cursor.within
        if position.snapshot == snapshot == self.cursor.before:
            return
        # Before the history forgets what ended until then.
        floor = self._history.floor_of(first_new_transaction(snapshot, position.snapshot))
        async for page in self._reader.pages_between(self.cursor, position, floor=floor):
            yield page
            self.cursor = page[-1].cursor
        self._history.add(position)
        self.cursor = self._end(position)

    def _end(self, position: Position) -> Cursor:
        return end_of(position, self._history.floor_of(first_transaction(position.snapshot)))


def end_of(position: Position, floor: int) -> Cursor:
    """The cursor of a listener that has received everything visible at a position. floor -- as in Cursor"""
    return Cursor(position.moment, 0, position.snapshot, position.snapshot, floor)
