"""Counters of results: those acknowledged, by tester and job type, and the sizes of batches."""

from bisect import bisect_left
from collections.abc import Mapping

from orchboard.results.submission import Submission
from orchboard.runtime.counters import Counters
from orchboard.stats import JobType

BATCH_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Upper bounds of the buckets for the number of results in a batch."""

OTHER_TESTERS = -1
"""Stands for all testers beyond MAX_TESTERS."""

MAX_TESTERS = 128

# Each row: the tester's id + 2, so that 0 is free; and the results of each job type.
_JOB_TYPES = tuple(JobType)
_WIDTH = 1 + len(_JOB_TYPES)


class IngestCounters:
    """The counters of one worker's writer."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._batches = counters.add("batches", len(BATCH_BOUNDS) + 2)
        self._testers = counters.add("testers", MAX_TESTERS * _WIDTH)
        self._rows: dict[int, int] = {}

    def count_batch(self, results: int) -> None:
        """Count an INSERT of a number of results."""
        self._batches.values[bisect_left(BATCH_BOUNDS, results)] += 1
        self._batches.values[-1] += results

    def count_accepted(self, submission: Submission) -> None:
        """Count a result that is acknowledged."""
        tester = submission.tester_id or 0
        row = self._rows.get(tester)
        if row is None:
            row = self._rows[tester] = self._row_of(tester)
        self._testers.values[row + 1 + _JOB_TYPES.index(submission.parsed.job_type)] += 1

    def _row_of(self, tester: int) -> int:
        """The row of a tester, found or added; the last one is that of all others."""
        values = self._testers.values
        last = len(values) - _WIDTH
        for row in range(0, last, _WIDTH):
            if values[row] in (0, tester + 2):
                values[row] = tester + 2
                return row
        values[last] = OTHER_TESTERS + 2
        return last

    def batches(self) -> tuple[list[float], float]:
        """The number of batches by size, see BATCH_BOUNDS, and of all results in them; over all workers."""
        *counts, results = self._counters.total(self._batches)
        return counts, results

    def accepted(self) -> Mapping[tuple[int, JobType], float]:
        """Acknowledged results by tester_id, 0 for a shared secret, and job type; over all workers."""
        found: dict[tuple[int, JobType], float] = {}
        for values in self._counters.each(self._testers):
            for row in range(0, len(values), _WIDTH):
                if values[row]:
                    for job_type, results in zip(_JOB_TYPES, values[row + 1 : row + _WIDTH], strict=True):
                        key = int(values[row]) - 2, job_type
                        found[key] = found.get(key, 0) + results
        return found
