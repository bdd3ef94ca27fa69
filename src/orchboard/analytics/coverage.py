"""Who tests what, who has stopped, and whose results differ, in the last 7 days."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from msgspec.structs import replace

from orchboard.analytics.scope import WindowRequest, envelope_of
from orchboard.analytics.silence import silent_since, usual_gap_h
from orchboard.analytics.totals import total_by
from orchboard.analytics.verdicts import compare_verdicts, verdicts_of
from orchboard.leaderboard import Leaderboard
from orchboard.reports.coverage import (
    Coverage,
    ModelCoverage,
    PipelineCoverage,
    RegionCoverage,
    TesterCoverage,
    TesterDifference,
    Verdict,
)
from orchboard.stats import JobType, Series, SeriesQuery
from orchboard.store.details.details import Details, Needs
from orchboard.store.details.reader import one_by_one
from orchboard.store.details.series_keys import (
    KindKey,
    SeriesKey,
    TesterKey,
    model_of,
    orchestrator_of,
    pipeline_of,
    region_and_job_type_of,
    tester_and_region_of,
    tester_of,
)
from orchboard.store.details.sums import NETWORK
from orchboard.store.postgres.clock import from_pg_time, round_down

K = TypeVar("K", bound=Hashable)

WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)
COMPARED_EVERY, SETTLED = timedelta(minutes=10), timedelta(minutes=2)
"""Testers are compared by results up to the last ten minutes that ended at least two minutes ago: their rollups exist."""

MAX_DIFFERENCES = 200
DIFFERS_AT_LEAST, DIFFERS_SHARE = 2, 0.2

_Source = tuple[str, JobType, str]
"""The region, job type and tester of a result."""


async def coverage(board: Leaderboard, query: SeriesQuery) -> Coverage:
    """The coverage by the results that a query selects."""
    asked_at, now, end = time.monotonic(), board.now(), board.store.clock.horizon()
    week, day, hour = (WindowRequest(name).resolve(board) for name in ("7d", "24h", "1h"))
    pooled = query if query.orchestrators else replace(query, orchestrators=frozenset([NETWORK]))
    edges = [week.since, day.since, hour.since, end]
    buckets = await board.store.details.fetch_buckets(pooled, edges, Needs(), asked_at=asked_at)
    hours = await _fetch_hours(board, pooled, now, end, asked_at)
    found = await _compare(board, query, now)
    activity = _ActivityReader(buckets, hours, now)
    testers = activity.testers(found)
    names = await board.store.names.current()
    return Coverage(
        **envelope_of(WindowRequest("7d"), week, now, *buckets),
        regions=activity.regions(),
        testers=testers,
        pipelines=activity.pipelines(),
        models=activity.models(),
        differences=found.differences({(each.tester, each.region) for each in testers}, names)[
            :MAX_DIFFERENCES
        ],
    )


async def _compare(board: Leaderboard, query: SeriesQuery, now: datetime) -> "_NamedComparison":
    """Compare the testers of all regions, by the results of a week. Once in ten minutes: it takes longer than the rest."""
    end = round_down(now - SETTLED, COMPARED_EVERY)
    everyone = replace(query, region=None, tester=None)
    [found] = await board.store.details.fetch_points(
        "comparison",
        everyone,
        [end - WEEK, end],
        one_by_one(_NamedComparison),
        Needs(round_trips=True),
        size=_size,
    )
    return found


async def _fetch_hours(
    board: Leaderboard, query: SeriesQuery, now: datetime, end: datetime, asked_at: float
) -> list[tuple[_Source, ...]]:
    """What had results in each hour of the last week, the earliest first. asked_at -- see DetailReader"""
    last = now.replace(minute=0, second=0, microsecond=0)
    edges = [last - WEEK + number * HOUR for number in range(int(WEEK / HOUR) + 1)]
    return await board.store.details.fetch_points(
        "sources", query, [*edges, end], one_by_one(_sources), Needs(), asked_at=asked_at
    )


def _sources(details: Details) -> tuple[_Source, ...]:
    sources, _ = details.index.grouped(details.sums.series, _source_of)
    return tuple(sources)


@KindKey
def _source_of(series: Series) -> _Source:
    return series.region, series.job_type, series.tester


class _ActivityReader:
    """Makes the lists of a coverage. buckets -- of the last week: before the last day, before the last hour, and that hour"""

    def __init__(self, buckets: list[Details], hours: list[tuple[_Source, ...]], now: datetime) -> None:
        self._buckets = buckets
        self._hours: dict[_Source, list[int]] = defaultdict(list)
        for hour, sources in enumerate(hours):
            for source in sources:
                self._hours[source].append(hour)
        self._now = now

    def regions(self) -> list[RegionCoverage]:
        hours = self._hours_of(lambda source: source[:2])
        return [
            RegionCoverage(**members, **self._silence(members, hours[key]), region=key[0], job_type=key[1])
            for key, members in self._activity(region_and_job_type_of)
        ]

    def testers(self, found: "_NamedComparison") -> list[TesterCoverage]:
        hours = self._hours_of(lambda source: (source[2], "") if source[2] else ("", source[0]))
        regions: dict[TesterKey, set[str]] = defaultdict(set)
        for bucket in self._buckets:
            for tester, region in bucket.index.grouped(bucket.sums.series, tester_and_region_of)[0]:
                regions[tester].add(region)
        return [
            TesterCoverage(
                **members,
                **self._silence(members, hours[key]),
                tester=key[0],
                region=key[1],
                regions=sorted(regions[key]),
                **found.verdict(key),
            )
            for key, members in self._activity(tester_of)
        ]

    def pipelines(self) -> list[PipelineCoverage]:
        found = self._activity(pipeline_of)
        return [PipelineCoverage(**members, pipeline=key) for key, members in found if key]

    def models(self) -> list[ModelCoverage]:
        found = self._activity(model_of)
        return [ModelCoverage(**members, pipeline=key[0], model=key[1]) for key, members in found if key[0]]

    def _activity(self, key: SeriesKey[K]) -> list[tuple[K, dict[str, Any]]]:
        """The members of Activity of each key, sorted."""
        found: dict[K, dict[str, Any]] = {}
        for at, bucket in enumerate(self._buckets):
            totals = total_by(bucket, key)
            for each, results, last in zip(
                totals.keys, (totals.results + totals.unscored).tolist(), totals.last.tolist(), strict=True
            ):
                members = found.setdefault(each, {"last_hour": 0, "last_day": 0, "last_week": 0})
                for name in ("last_week", "last_day", "last_hour")[: at + 1]:
                    members[name] += results
                members["last_at"] = from_pg_time(last)
        return sorted(found.items())

    def _hours_of(self, key: Callable[[_Source], K]) -> Mapping[K, list[int]]:
        """The hours in which each key had results, ascending."""
        found: dict[K, set[int]] = defaultdict(set)
        for source, hours in self._hours.items():
            found[key(source)].update(hours)
        return {each: sorted(hours) for each, hours in found.items()}

    def _silence(self, members: dict[str, Any], hours: list[int]) -> dict[str, Any]:
        gap_h = usual_gap_h(hours)
        return {
            "usual_gap_h": gap_h,
            "silent_since": silent_since(members["last_at"], gap_h, self._now),
        }


class _NamedComparison:
    """Differences between the testers of some details, with the names of testers and orchestrators."""

    def __init__(self, details: Details) -> None:
        found = compare_verdicts(verdicts_of(details))
        self._testers = details.index.column(tester_of).keys
        self._orchestrators = details.index.column(orchestrator_of).keys
        self._found = found
        self._compared = Counter(
            {self._testers[tester]: number for tester, number in enumerate(found.compared.tolist())}
        )
        differing = {(each.tester, each.orchestrator) for each in found.differences}
        self.differing = Counter(self._testers[tester] for tester, _ in differing)

    def verdict(self, tester: TesterKey) -> dict[str, Any]:
        """The members of TesterCoverage about differences."""
        compared, differs_on = self._compared[tester], self.differing[tester]
        verdict: Verdict = "too_few" if not compared else "differs_on_some" if differs_on else "agrees"
        if differs_on >= max(DIFFERS_AT_LEAST, DIFFERS_SHARE * compared):
            verdict = "differs"
        return {"compared": compared, "differs_on": differs_on, "verdict": verdict}

    def differences(self, testers: Collection[TesterKey], names: Mapping[str, str]) -> list[TesterDifference]:
        """Those of some testers, the surest first. names -- of orchestrators, by address"""
        found = []
        for each in sorted(self._found.differences, key=lambda each: each.chance):
            tester, region = self._testers[each.tester]
            if (tester, region) not in testers:
                continue
            found.append(
                TesterDifference(
                    tester=tester,
                    region=region,
                    orchestrator=(orchestrator := self._orchestrators[each.orchestrator]),
                    name=names.get(orchestrator, ""),
                    measure="success_rate" if each.is_success else "round_trip_time",
                    own=each.own,
                    others=each.others,
                    results=each.results,
                    other_results=each.other_results,
                    confidence=1 - each.chance,
                    compared_with="region" if each.in_region else "network",
                )
            )
        return found


def _size(compared: _NamedComparison) -> int:
    """Bytes in memory, approximately."""
    return 2_000 + 300 * len(compared.differing)
