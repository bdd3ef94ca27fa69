"""The content of the live tail that scores and pipelines are computed from."""

import asyncpg
import numpy as np

from orchboard.stats import JobType
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.group_index import Indices
from orchboard.store.rollups.result_columns import (
    PipelineOccurrences,
    ResultColumns,
    ResultReader,
    Results,
    SlidingArrays,
)


class ScoredTail:
    """Scored results by job type, and the pipelines of all results; see TailContent."""

    statement = "tail_results"
    needs_details = False

    def __init__(self, reader: ResultReader) -> None:
        self._reader = reader
        self._scored = {
            job_type: SlidingArrays(np.int64, np.int64, rows=len(MEASURES)) for job_type in JobType
        }
        self._occurrences = SlidingArrays(np.int64, np.int64)

    def scored(self, job_type: JobType, since: int, until: int) -> ResultColumns:
        """Scored results received in [since, until), as views that are valid until the next `await`."""
        return ResultColumns(*self._scored[job_type].arrays()).between(since, until)

    def occurrences(self, since: int, until: int) -> PipelineOccurrences:
        """The pipelines of all results, likewise."""
        return PipelineOccurrences(*self._occurrences.arrays()).between(since, until)

    @property
    def event_time(self) -> Indices:
        """See TailContent."""
        return self._occurrences.arrays()[0]

    async def read(self, row: asyncpg.Record) -> Results:
        """See TailContent. Raises DatabaseUnavailableError if a new region can't be read."""
        return await self._reader.read(row)

    def replace(self, since: int, results: Results) -> None:
        """See TailContent."""
        occurrences = results.occurrences
        self._occurrences.replace(since, (occurrences.event_time, occurrences.occurrences))
        for job_type, tail in self._scored.items():
            columns = results.scored[job_type]
            tail.replace(since, (columns.event_time, columns.groups, columns.measures))

    def drop_before(self, since: int) -> None:
        """See TailContent."""
        for tail in (self._occurrences, *self._scored.values()):
            tail.drop_before(since)
