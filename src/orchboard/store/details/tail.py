"""The content of the live tail of details."""

import asyncpg
import numpy as np

from orchboard.store.details.error_texts import ErrorTexts
from orchboard.store.details.result_details import DetailResultReader, ResultDetails
from orchboard.store.details.tail_changes import EVERYTHING, TailChanges
from orchboard.store.details.tail_sums import TailSums
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.group_index import Indices
from orchboard.store.rollups.result_columns import SlidingArrays

# The position of `errors` in the arrays.
_ERRORS = 4


class DetailTail:
    """The newest results with everything that details are made of; see TailContent.

    sums -- of ranges of it; changes -- of results in it
    """

    statement = "detail_tail"
    needs_details = True

    def __init__(self, reader: DetailResultReader) -> None:
        self._reader = reader
        self._texts = ErrorTexts()
        self._arrays = SlidingArrays(np.int64, np.int64, np.bool_, np.bool_, np.int64, rows=len(MEASURES))
        self.changes = TailChanges()
        self.sums = TailSums(self.between, self.end, reader.sums)

    @property
    def event_time(self) -> Indices:
        """See TailContent."""
        return self._arrays.arrays()[0]

    async def read(self, row: asyncpg.Record) -> ResultDetails:
        """See TailContent. Raises DatabaseUnavailableError if a new region or tester can't be read."""
        return await self._reader.read(row)

    def replace(self, since: int, results: ResultDetails) -> None:
        """See TailContent."""
        if results.texts is not self._texts:
            errors = self._arrays.arrays()[_ERRORS]
            errors[:] = results.texts.adopt(errors, self._texts)
            self._texts = results.texts
        self.changes.note(self.between(since, EVERYTHING).arrays, results.arrays)
        self._arrays.replace(since, results.arrays)
        self.sums.replaced(since)

    def drop_before(self, since: int) -> None:
        """See TailContent."""
        self._arrays.drop_before(since)
        self.sums.dropped_before(since)

    def end(self) -> int:
        """A time after the last result, in microseconds since 2000; 0 without one."""
        event_time = self.event_time
        return int(event_time[-1]) + 1 if len(event_time) else 0

    def between(self, since: int, until: int) -> ResultDetails:
        """The results received in [since, until), as views that are valid until the next change."""
        return ResultDetails.of(self._arrays.arrays(), self._texts).between(since, until)
