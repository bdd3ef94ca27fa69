"""The series of a SeriesIndex as numbers of testers, orchestrators, jobs and regions, so that verdicts are made without a loop."""

from weakref import WeakKeyDictionary

import numpy as np

from orchboard.analytics.strata import Verdicts
from orchboard.stats import Series
from orchboard.store.details.details import Details
from orchboard.store.details.series import SeriesIndex
from orchboard.store.rollups.group_index import Indices

TesterKey = tuple[str, str]
"""The name of a tester, and an empty region; or an empty name and a region."""


def tester_of(series: Series) -> TesterKey:
    """The tester of a series."""
    return (series.tester, "") if series.tester else ("", series.region)


class TesterColumns:
    """Grows with its index. numbers -- shape (4, series): tester, orchestrator, job, region"""

    def __init__(self) -> None:
        self.testers: dict[TesterKey, int] = {}
        self.orchestrators: dict[str, int] = {}
        self._jobs: dict[tuple[str, ...], int] = {}
        self._regions: dict[str, int] = {}
        self.numbers: Indices = np.zeros((4, 0), np.int64)

    def extend(self, index: SeriesIndex) -> None:
        """Add the series that the index got since."""
        new = [self._add(series) for series in index.all[self.numbers.shape[1] :]]
        if new:
            self.numbers = np.concatenate([self.numbers, np.array(new, np.int64).T], axis=1)

    def _add(self, series: Series) -> tuple[int, int, int, int]:
        job = series.job_type, series.pipeline, series.model
        return (
            self.testers.setdefault(tester_of(series), len(self.testers)),
            self.orchestrators.setdefault(series.orchestrator, len(self.orchestrators)),
            self._jobs.setdefault(job, len(self._jobs)),
            self._regions.setdefault(series.region, len(self._regions)),
        )


_columns: WeakKeyDictionary[SeriesIndex, TesterColumns] = WeakKeyDictionary()


def columns_of(index: SeriesIndex) -> TesterColumns:
    """The columns of an index; each series is added once."""
    columns = _columns.setdefault(index, TesterColumns())
    columns.extend(index)
    return columns


def verdicts_of(details: Details) -> Verdicts:
    """The scored results of all series of some details."""
    sums = details.sums
    entries = np.flatnonzero(sums.results)
    columns = columns_of(details.index).numbers[:, sums.series[entries]]
    is_timed = sums.round_trips > 0
    round_trips = sums.round_trips[is_timed]
    logs = np.log(round_trips)
    whose, size = sums.round_trip_entries[is_timed], len(sums.series)
    values = np.array(
        [
            sums.results,
            sums.successes,
            np.bincount(whose, minlength=size),
            np.bincount(whose, logs, size),
            np.bincount(whose, logs**2, size),
        ],
        np.float64,
    )
    tester, orchestrator, job, region = columns
    cell = np.cumsum(sums.results > 0) - 1
    return Verdicts(tester, orchestrator, job, region, values[:, entries], round_trips, cell[whose])
