"""The news about orchestrators of the last seven days."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec import Struct

from orchboard.analytics.events import Event, Hour, RegionHour, find_events
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType, SeriesQuery, is_address
from orchboard.store.details.details import Details
from orchboard.store.details.sums import NETWORK
from orchboard.store.postgres.clock import EPOCH, round_down, to_pg_time

SHOWN = timedelta(days=7)
_LED_IN = timedelta(days=7)
"""Examined before, so that the state at the beginning is known."""
_KNOWN = timedelta(days=30)
"""An orchestrator without a result for this long before the first hour is new."""

_HOUR = timedelta(hours=1)

_Key: TypeAlias = tuple[str, JobType]


class _Observed(Struct, frozen=True):
    """One hour. testing -- the regions with results, by job type; hours -- by orchestrator and job type"""

    testing: Mapping[JobType, frozenset[str]]
    hours: Mapping[_Key, Hour]


async def find_news(board: Leaderboard, orchestrator: str | None = None) -> list[Event]:
    """The events of complete hours, the latest first. orchestrator -- None: all that get scores"""
    end = round_down(board.now(), _HOUR)
    begin = end - SHOWN - _LED_IN
    edges = [begin - _KNOWN, *_hours(begin, end)]
    query = SeriesQuery(orchestrators=None if orchestrator is None else frozenset([orchestrator, NETWORK]))
    # The hours of one orchestrator are small enough to be kept.
    kind = None if orchestrator is None else "news"
    before, *observed = await board.store.details.fetch_points(
        kind, query, edges, _observe, with_medians=False, size=_size
    )
    first = (begin - EPOCH) // _HOUR
    by_key: dict[_Key, dict[int, Hour]] = defaultdict(dict)
    for number, each in enumerate(observed, first):
        for key, hour in each.hours.items():
            by_key[key][number] = hour
    numbers = range(first, first + len(observed))
    shown_since = to_pg_time(end - SHOWN)
    events = []
    for (name, job_type), hours in by_key.items():
        if not board.scores_any_name and not is_address(name):
            continue
        testing = {
            number: each.testing.get(job_type, frozenset()) for number, each in enumerate(observed, first)
        }
        is_known = (name, job_type) in before.hours
        found = find_events(name, job_type, hours, testing, numbers, is_known=is_known)
        events += [event for event in found if event.noted >= shown_since]
    return sorted(events, key=lambda event: (-event.noted, event.orchestrator, event.job_type, event.kind))


def _hours(begin: datetime, end: datetime) -> list[datetime]:
    return [begin + number * _HOUR for number in range((end - begin) // _HOUR + 1)]


def _size(observed: _Observed) -> int:
    """Bytes in memory, approximately."""
    return 500 + 200 * sum(len(hour.regions) for hour in observed.hours.values())


def _observe(details: Details) -> _Observed:
    testing: dict[JobType, set[str]] = defaultdict(set)
    regions: dict[_Key, dict[str, RegionHour]] = defaultdict(dict)
    times: dict[_Key, tuple[int, int]] = {}
    sums = details.sums
    columns = (
        sums.series.tolist(),
        sums.results.tolist(),
        sums.unscored.tolist(),
        sums.measure("success_rate").tolist(),
        sums.first.tolist(),
        sums.last.tolist(),
    )
    for number, results, unscored, success_rate, first, last in zip(*columns, strict=True):
        series = details.index.all[number]
        testing[series.job_type].add(series.region)
        if series.orchestrator == NETWORK:
            continue
        key = series.orchestrator, series.job_type
        old = regions[key].get(series.region, RegionHour(0, 0, 0.0))
        regions[key][series.region] = RegionHour(
            old.results + results, old.unscored + unscored, old.success_rate + success_rate
        )
        earliest, latest = times.get(key, (first, last))
        times[key] = min(earliest, first), max(latest, last)
    return _Observed(
        {job_type: frozenset(found) for job_type, found in testing.items()},
        {key: Hour(*times[key], found) for key, found in regions.items()},
    )
