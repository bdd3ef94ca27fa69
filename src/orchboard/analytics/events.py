"""What is news about an orchestrator: that it is down, up again, silent, or tested for the first time. Pure functions.

The results of one orchestrator and job type are looked at by the hour. An hour *fails* if the mean over its regions of the mean
success rate of scored results is below FAILING, and *works* if it is at least WORKING. Hours without scored results, such as
those in which an orchestrator was busy, say nothing; other hours end both kinds of runs. A run of hours is *evidence* once it
holds EVIDENCE_RESULTS scored results from EVIDENCE_REGIONS regions, or from the only region that tests the orchestrator.

down -- the evidence of failing hours. If 5 % of the results fail independently, six failures in a row have a probability of
    1.6·10^-8
up -- after down: the evidence of working hours
silent -- no result, scored or not, for SILENT_GAPS times its mean gap between hours with results and LONGEST_GAPS times the longest,
    at least SILENT_HOURS. Hours count in which at least half of its regions tested others: a tester that stops is not news about
    all orchestrators
tested -- the first NEW_RESULTS results of an orchestrator that was not tested before the first hour, or the first results after
    silence

An orchestrator that fails from the beginning is not reported as down: nothing tells since when.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

from msgspec import Struct, field

from orchboard.stats import JobType

FAILING = 0.1
WORKING = 0.5
EVIDENCE_RESULTS = 6
EVIDENCE_REGIONS = 2
SILENT_GAPS = 10
LONGEST_GAPS = 2
SILENT_HOURS = 6
MIN_GAPS = 10
NEW_RESULTS = 3


class Kind(StrEnum):
    """What happened."""

    DOWN = "down"
    UP = "up"
    SILENT = "silent"
    TESTED = "tested"


class RegionHour(Struct, frozen=True):
    """Results of one orchestrator, job type, region and hour. success_rate -- the sum over scored results"""

    results: int
    unscored: int
    success_rate: float


class Hour(Struct, frozen=True):
    """Results of one orchestrator and job type in an hour; at least one.

    first, last -- receipt times, in microseconds since 2000
    regions -- by code
    """

    first: int
    last: int
    regions: Mapping[str, RegionHour]

    @property
    def results(self) -> int:
        """The number of scored results."""
        return sum(region.results for region in self.regions.values())

    @property
    def success_rate(self) -> float | None:
        """The mean over regions; None without scored results."""
        rates = [region.success_rate / region.results for region in self.regions.values() if region.results]
        return sum(rates) / len(rates) if rates else None


class Event(Struct, frozen=True):
    """News about an orchestrator.

    hour -- in which it began, in hours since 2000
    since -- when it began: receipt time in microseconds since 2000; of the last result for `silent`
    noted -- when it was certain, likewise
    results, regions -- the scored results, and their regions, that show it; all results for `silent` and `tested`
    """

    kind: Kind
    orchestrator: str
    job_type: JobType
    hour: int
    since: int
    noted: int
    results: int
    regions: int


class _Run(Struct):
    """Consecutive hours that all fail, or all work."""

    hour: int = -1
    since: int = 0
    results: int = 0
    regions: set[str] = field(default_factory=set)

    def add(self, number: int, hour: Hour) -> None:
        if self.hour < 0:
            self.hour, self.since = number, hour.first
        self.results += hour.results
        self.regions |= {name for name, region in hour.regions.items() if region.results}

    def is_evidence(self, known_regions: int) -> bool:
        return self.results >= EVIDENCE_RESULTS and len(self.regions) >= min(EVIDENCE_REGIONS, known_regions)


class _Silence(Struct):
    """Whether an orchestrator is tested less than usual.

    quiet -- the hours since the last result in which it could have been tested
    """

    gaps: list[int] = field(default_factory=list)
    quiet: int = 0
    is_silent: bool = False

    @property
    def is_due(self) -> bool:
        """Whether the silence is long enough now."""
        gaps = self.gaps
        if self.is_silent or len(gaps) < MIN_GAPS:
            return False
        usual = SILENT_GAPS * sum(gaps) / len(gaps)
        return self.quiet >= max(SILENT_HOURS, usual, LONGEST_GAPS * max(gaps))

    def end(self) -> bool:
        """There is a result; returns whether it ends a silence."""
        was_silent = self.is_silent
        if not was_silent:
            self.gaps.append(self.quiet + 1)
        self.quiet, self.is_silent = 0, False
        return was_silent


class Detector:
    """The state of one orchestrator and job type while its hours are looked at in order.

    is_known -- whether it was tested before the first hour

    The events of an hour depend on that and on the hours until then only.
    """

    def __init__(self, orchestrator: str, job_type: JobType, *, is_known: bool) -> None:
        self._of = (orchestrator, job_type)
        self._new = None if is_known else _Run()
        self._regions: set[str] = set()
        self._silence = _Silence()
        self._bad, self._good = _Run(), _Run()
        self._is_down = self._has_worked = False
        self._last: Hour | None = None
        self._last_number = 0

    def hour(self, number: int, hour: Hour | None, testing: frozenset[str]) -> Iterator[Event]:
        """The news of one hour.

        number -- in hours since 2000; hour -- None without a result; testing -- the regions that tested any orchestrator
        """
        if hour is None:
            yield from self._without_result(number, testing)
            return
        is_first = self._last is None
        self._regions |= hour.regions.keys()
        if self._silence.end() and not is_first:
            yield self._event(Kind.TESTED, number, hour.first, hour.last, _count(hour), len(hour.regions))
        if is_first:
            self._silence.gaps.clear()
        self._last, self._last_number = hour, number
        yield from self._while_new(number, hour)
        yield from self._of_outcome(number, hour)

    def _without_result(self, number: int, testing: frozenset[str]) -> Iterator[Event]:
        if self._last is None or 2 * len(testing & self._regions) < len(self._regions):
            return
        self._silence.quiet += 1
        if self._silence.is_due:
            self._silence.is_silent = True
            end = (number + 1) * 3_600_000_000
            yield self._event(
                Kind.SILENT, self._last_number, self._last.last, end, _count(self._last), len(self._regions)
            )

    def _while_new(self, number: int, hour: Hour) -> Iterator[Event]:
        new = self._new
        if new is None:
            return
        new.add(number, hour)
        new.results += _count(hour) - hour.results
        if new.results >= NEW_RESULTS:
            self._new = None
            yield self._event(Kind.TESTED, new.hour, new.since, hour.last, new.results, len(self._regions))

    def _of_outcome(self, number: int, hour: Hour) -> Iterator[Event]:
        success_rate = hour.success_rate
        if success_rate is None:
            return
        if success_rate < FAILING:
            self._bad.add(number, hour)
            self._good = _Run()
        else:
            self._bad = _Run()
            self._has_worked = True
            if success_rate >= WORKING:
                self._good.add(number, hour)
            else:
                self._good = _Run()
        run, kind = (self._good, Kind.UP) if self._is_down else (self._bad, Kind.DOWN)
        if run.is_evidence(len(self._regions)):
            self._is_down = not self._is_down
            if self._has_worked:
                yield self._event(kind, run.hour, run.since, hour.last, run.results, len(run.regions))

    def _event(self, kind: Kind, number: int, since: int, noted: int, results: int, regions: int) -> Event:
        return Event(kind, *self._of, number, since, noted, results, regions)


def _count(hour: Hour) -> int:
    return sum(region.results + region.unscored for region in hour.regions.values())
