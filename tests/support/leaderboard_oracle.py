"""The numbers of the leaderboard in plain Python, from results one by one."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from orchboard.stats import JobType
from tests.support.random_results import PlainResult
from tests.support.score_oracle import Medians, plain_medians, plain_quantile, plain_score

Numbers = dict[str, Any]
Z = 1.959963984540054


def plain_leaderboard(
    results: Sequence[PlainResult],
    *,
    job_type: JobType,
    region: str | None = None,
    medians: Medians | None = None,
    **members: str,
) -> dict[str, Numbers]:
    """The numbers of each orchestrator with results.

    results -- of the window
    medians -- None: those of the results, in the region
    members -- of results that are asked for, such as the tester
    """
    if medians is None:
        medians = plain_medians(each for each in results if region in (None, each.region))
    asked = [
        each
        for each in results
        if each.job_type is job_type
        and region in (None, each.region)
        and all(getattr(each, name) == value for name, value in members.items())
    ]
    names = {each.orchestrator for each in asked}
    return {name: _numbers([each for each in asked if each.orchestrator == name], medians) for name in names}


def plain_wilson(successes: int, results: int) -> tuple[float, float]:
    """Wilson's interval of a share, as in Wilson (1927)."""
    share = successes / results
    center = (share + Z * Z / (2 * results)) / (1 + Z * Z / results)
    half = Z / (1 + Z * Z / results) * math.sqrt(share * (1 - share) / results + Z * Z / (4 * results**2))
    return center - half, center + half


def _numbers(own: Sequence[PlainResult], medians: Medians) -> Numbers:
    scored = [each for each in own if each.is_scored]
    regions = {each.region: [other for other in scored if other.region == each.region] for each in scored}
    scores = {region: plain_score(of_region, medians) for region, of_region in regions.items()}
    round_trips = [each.round_trip_time for each in own if each.has_round_trip]
    took = sum(each.round_trip_time for each in scored)
    successes = sum(each.success_rate >= 1 for each in scored)
    return {
        "score": plain_score(own, medians),
        "success_rate": fmean(map(_success_rate, regions.values())) if scored else None,
        "full_success": (successes / len(scored), *plain_wilson(successes, len(scored))) if scored else None,
        "p50": plain_quantile(round_trips, 0.5),
        "p90": plain_quantile(round_trips, 0.9),
        "p99": plain_quantile(round_trips, 0.99),
        "real_time_ratio": sum(each.seg_duration for each in scored) / took if took > 0 else None,
        "results": len(scored),
        "unscored": len(own) - len(scored),
        "regions": len(regions),
        "best": min(((-round(score or 0, 9), region) for region, score in scores.items()), default=None),
        "worst": min(((round(score or 0, 9), region) for region, score in scores.items()), default=None),
        "last_tested_at": max(each.event_time for each in own),
    }


def _success_rate(of_region: Sequence[PlainResult]) -> float:
    return fmean(each.success_rate for each in of_region)
