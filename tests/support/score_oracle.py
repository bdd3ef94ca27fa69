"""Scores in plain Python, worded as in docs/scoring.md; quantiles as PostgreSQL's percentile_cont."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

from orchboard.stats import JobType
from tests.support.random_results import PlainResult

Medians = dict[tuple[str, str], float]


def plain_quantile(values: Sequence[float], fraction: float) -> float | None:
    """Interpolated between the two nearest; None without values."""
    if not values:
        return None
    ordered, rank = sorted(values), fraction * (len(values) - 1)
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    return low + (rank - math.floor(rank)) * (high - low)


def plain_medians(results: Iterable[PlainResult]) -> Medians:
    """The median round trip of each AI pipeline and model."""
    round_trips = defaultdict(list)
    for each in results:
        if each.job_type is JobType.AI and each.has_round_trip:
            round_trips[each.pipeline, each.model].append(each.round_trip_time)
    return {model: plain_quantile(values, 0.5) or 0.0 for model, values in round_trips.items()}


def plain_score(results: Iterable[PlainResult], medians: Medians) -> float | None:
    """The score of some results: mean over regions of means over models; None without a scored result."""
    regions: dict[tuple[JobType, str], dict[tuple[str, str], list[PlainResult]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for each in results:
        if each.is_scored:
            regions[each.job_type, each.region][each.pipeline, each.model].append(each)
    if not regions:
        return None
    return fmean(
        sum(len(group) * _score_group(group, medians) for group in models.values())
        / sum(map(len, models.values()))
        for models in regions.values()
    )


def _score_group(group: Sequence[PlainResult], medians: Medians) -> float:
    success_rate = fmean(each.success_rate for each in group)
    round_trip_time = fmean(each.round_trip_time for each in group)
    if group[0].job_type is JobType.TRANSCODING:
        seg_duration = fmean(each.seg_duration for each in group)
        return success_rate * (1 - math.exp(-seg_duration / round_trip_time)) if round_trip_time > 0 else 0.0
    median = medians.get((group[0].pipeline, group[0].model))
    round_trip_score = math.exp(math.log(0.8) * round_trip_time / median) if median else 0.0
    return 0.65 * success_rate + 0.35 * round_trip_score if success_rate else 0.0
