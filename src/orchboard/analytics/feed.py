"""The news about orchestrators of the last seven days."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import TypeAlias

from msgspec import Struct

from orchboard.analytics.events import Detector, Event, Hour, RegionHour
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType, SeriesQuery, is_address
from orchboard.store.details.details import Details, Needs
from orchboard.store.details.reader import one_by_one
from orchboard.store.details.sums import NETWORK
from orchboard.store.postgres.clock import EPOCH

_HOUR = timedelta(hours=1)
_DAY, _WEEK, _MONTH = 24, 7 * 24, 30 * 24

_SHOWN = _WEEK

_Key: TypeAlias = tuple[str, JobType]


class _Observed(Struct, frozen=True):
    """Results of some hours. testing -- the regions with results, by job type; hours -- by orchestrator and job type"""

    testing: Mapping[JobType, frozenset[str]]
    hours: Mapping[_Key, Hour]


async def find_news(board: Leaderboard, orchestrator: str | None = None) -> list[Event]:
    """The events of complete hours, the latest first. orchestrator -- None: all that get scores

    Hours are counted since 2000.
    """
    end = (board.now() - EPOCH) // _HOUR
    shown = end - _SHOWN
    reader = _HourReader(board, orchestrator)
    weeks = [
        _WeekOfNews(week, known=await reader.tested_before(week - _WEEK))
        for week in range(shown // _WEEK * _WEEK, end, _WEEK)
    ]
    events: list[Event] = []
    for day in range(weeks[0].first, end, _DAY):
        hours = range(day, min(day + _DAY, end))
        for number, observed in zip(hours, await reader.fetch([*hours, hours.stop]), strict=True):
            found = [event for week in weeks for event in week.examine(number, observed)]
            events += found if number >= shown else []
    return sorted(events, key=lambda event: (-event.noted, event.orchestrator, event.job_type, event.kind))


class _WeekOfNews:
    """Finds the events of one week.

    The detectors begin a week earlier, so that they know the state at its beginning. Their first hour does not slide with the
    present: an event stays as it is while the results do.

    week -- its first hour, a multiple of _WEEK
    known -- what was tested in the 30 days before the detectors' first hour
    """

    def __init__(self, week: int, *, known: frozenset[_Key]) -> None:
        self.first = week - _WEEK
        self._week = range(week, week + _WEEK)
        self._known = known
        self._detectors: dict[_Key, Detector] = {}

    def examine(self, number: int, observed: _Observed) -> list[Event]:
        """The events of the next hour; none outside the week."""
        if not self.first <= number < self._week.stop:
            return []
        for key in observed.hours.keys() - self._detectors.keys():
            self._detectors[key] = Detector(*key, is_known=key in self._known)
        events = [
            event
            for key, detector in self._detectors.items()
            for event in detector.hour(
                number, observed.hours.get(key), observed.testing.get(key[1], frozenset())
            )
        ]
        return events if number in self._week else []


class _HourReader:
    """Reads hours of one orchestrator, or of all that get scores."""

    def __init__(self, board: Leaderboard, orchestrator: str | None) -> None:
        self._board = board
        self._query = SeriesQuery(
            orchestrators=None if orchestrator is None else frozenset([orchestrator, NETWORK])
        )
        # The hours of one orchestrator are small enough to be kept.
        self._kind = None if orchestrator is None else "news"

    async def fetch(self, edges: list[int]) -> list[_Observed]:
        """What was observed between each two edges."""
        return await self._board.store.details.fetch_points(
            self._kind,
            self._query,
            [EPOCH + edge * _HOUR for edge in edges],
            one_by_one(self._observe),
            Needs(),
            size=_size,
        )

    async def tested_before(self, hour: int) -> frozenset[_Key]:
        """What was tested in the 30 days before an hour."""
        [month] = await self.fetch([hour - _MONTH, hour])
        return frozenset(month.hours)

    def _observe(self, details: Details) -> _Observed:
        testing: dict[JobType, set[str]] = defaultdict(set)
        regions: dict[_Key, dict[str, RegionHour]] = defaultdict(dict)
        times: dict[_Key, tuple[int, int]] = {}
        sums = details.sums
        columns = (
            details.index.named(sums.series),
            sums.results.tolist(),
            sums.unscored.tolist(),
            sums.measure("success_rate").tolist(),
            sums.first.tolist(),
            sums.last.tolist(),
        )
        for (orchestrator, kind), results, unscored, success_rate, first, last in zip(*columns, strict=True):
            testing[kind.job_type].add(kind.region)
            if not self._is_observed(orchestrator):
                continue
            key = orchestrator, kind.job_type
            old = regions[key].get(kind.region, RegionHour(0, 0, 0.0))
            regions[key][kind.region] = RegionHour(
                old.results + results, old.unscored + unscored, old.success_rate + success_rate
            )
            earliest, latest = times.get(key, (first, last))
            times[key] = min(earliest, first), max(latest, last)
        return _Observed(
            {job_type: frozenset(found) for job_type, found in testing.items()},
            {key: Hour(*times[key], found) for key, found in regions.items()},
        )

    def _is_observed(self, orchestrator: str) -> bool:
        return orchestrator != NETWORK and (self._board.scores_any_name or is_address(orchestrator))


def _size(observed: _Observed) -> int:
    """Bytes in memory, approximately."""
    return 500 + 200 * sum(len(hour.regions) for hour in observed.hours.values())
