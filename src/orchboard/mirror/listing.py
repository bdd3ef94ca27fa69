"""Lists the orchestrators to copy. raw_stats requires an orchestrator, and only aggregated_stats lists them."""

from msgspec import Struct

from orchboard.mirror.source import RangeError, Source
from orchboard.mirror.time_ranges import DAY_S, HOUR_S, TimeRange
from orchboard.stats import JobType

_WIDER_S = 7 * DAY_S


class Listed(Struct, frozen=True):
    """Sorted pairs of orchestrator and job type, and the failures because of which some may be missing."""

    orchestrators: list[tuple[str, JobType]]
    failures: list[tuple[JobType, TimeRange, str]]


class OrchestratorListing:
    """Lists orchestrators by day.

    Each list includes those of the day before: the reference cuts its scores short at a payload that it can't read, and
    other servers may leave out orchestrators that have only unscored results.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._days: dict[TimeRange, Listed] = {}

    def of(self, day: TimeRange) -> Listed:
        """The orchestrators with scores on a UTC day or the day before."""
        before = TimeRange(day.since - DAY_S, day.since)
        both = [self._days.get(one) or self._list(one) for one in (before, day)]
        self._days = dict(zip((before, day), both, strict=True))
        names = {pair for one in both for pair in one.orchestrators}
        return Listed(sorted(names, key=" ".join), [failure for one in both for failure in one.failures])

    def _list(self, day: TimeRange) -> Listed:
        found: set[tuple[str, JobType]] = set()
        failures = []
        for job_type in JobType:
            names, failed = self._names(day, job_type)
            found |= {(name, job_type) for name in names}
            failures += [(job_type, time_range, failure) for time_range, failure in failed]
        return Listed(list(found), failures)

    def _names(self, day: TimeRange, job_type: JobType) -> tuple[set[str], list[tuple[TimeRange, str]]]:
        # The reference fails if no AI job succeeded, which a longer time range avoids, and at some payloads that it can't
        # read, which a shorter time range leaves out.
        for time_range in (day, TimeRange(max(0, day.since - _WIDER_S), day.until)):
            try:
                return set(self._source.scores(time_range, job_type)), []
            except RangeError:
                pass
        names: set[str] = set()
        failed = []
        for since in range(day.since, day.until, HOUR_S):
            hour = TimeRange(since, since + HOUR_S)
            try:
                names.update(self._source.scores(hour, job_type))
            except RangeError as error:
                failed.append((hour, str(error)))
        return names, failed
