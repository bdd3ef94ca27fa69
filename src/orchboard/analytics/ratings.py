"""The scores of one orchestrator by job type, region, pipeline and model, with their intervals."""

from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import numpy as np

from orchboard.analytics.breakdown import Breakdown
from orchboard.analytics.estimates import Estimates
from orchboard.analytics.reasons import find_reasons
from orchboard.analytics.totals import total_by
from orchboard.reports.leaderboard import Estimate
from orchboard.reports.orchestrator import JobTypeRating, ModelRating, RegionRating
from orchboard.stats import JobType
from orchboard.store.details.details import Details
from orchboard.store.details.series_keys import SeriesKey, job_type_of, model_of, orchestrator_of, region_of
from orchboard.store.postgres.clock import from_pg_time

K = TypeVar("K", bound=Hashable)

Members = dict[str, Any]
"""Members of a Rating, by name."""

_NO_SCORES: Members = dict.fromkeys(("score", "success_rate", "round_trip_score"))


def rate_job_types(details: Details, *, has_scores: bool) -> list[JobTypeRating]:
    """The scores of the only orchestrator of some details, of each job type with results.

    has_scores -- False: all scores are None, as those of a name that is no address
    """
    job_types, position = details.index.grouped(details.sums.series, job_type_of)
    found = []
    for number, job_type in enumerate(job_types):
        selected = details.sums.select(np.flatnonzero(position == number))
        of_type = Details(details.index, selected, details.medians)
        is_scored = has_scores and bool(selected.results.any())
        found.append(_rate_job_type(of_type, job_type, Breakdown(of_type, job_type) if is_scored else None))
    return found


def _rate_job_type(details: Details, job_type: JobType, breakdown: Breakdown | None) -> JobTypeRating:
    [total] = _members(details, orchestrator_of).values()
    regions, models = _members(details, region_of), _members(details, model_of)
    if breakdown is not None:
        total |= _scores(breakdown.estimate_all())[0]
        _update(regions, breakdown.regions, _scores(breakdown.estimate_regions()))
        _update(models, breakdown.models, _scores(breakdown.estimate_models()))
    return JobTypeRating(
        **_without_cold(total),
        job_type=job_type,
        regions=[RegionRating(**_without_cold(members), region=code) for code, members in regions.items()],
        models=[
            ModelRating(
                **members,
                pipeline=model[0],
                model=model[1],
                median_rtt=details.medians.get(model),
                warm=members["results"] - members["cold"],
            )
            for model, members in models.items()
            if job_type is JobType.AI
        ],
        why=None if breakdown is None else find_reasons(breakdown),
    )


def _update(members: dict[K, Members], keys: Sequence[K], scores: Sequence[Members]) -> None:
    for key, each in zip(keys, scores, strict=True):
        members[key] |= each


def _scores(estimates: Estimates) -> list[Members]:
    """The members that are scores."""
    columns = [getattr(estimates, name).tolist() for name in estimates.__struct_fields__]
    return [
        {
            "score": Estimate(score, score_low, score_high),
            "success_rate": Estimate(success_rate, success_low, success_high),
            "round_trip_score": round_trip_score,
        }
        for score, score_low, score_high, success_rate, success_low, success_high, round_trip_score in zip(
            *columns, strict=True
        )
    ]


def _members(details: Details, key: SeriesKey[K]) -> dict[K, Members]:
    """The members that need no score, and `cold`, of each key, sorted."""
    totals = total_by(details, key)
    columns = (totals.results, totals.unscored, totals.successes, totals.cold, totals.last)
    return {
        key: _NO_SCORES
        | {
            "results": results,
            "unscored": unscored,
            "successes": successes,
            "cold": cold,
            "last_at": from_pg_time(last),
        }
        for key, results, unscored, successes, cold, last in zip(
            totals.keys, *(column.tolist() for column in columns), strict=True
        )
    }


def _without_cold(members: Members) -> Members:
    return {name: value for name, value in members.items() if name != "cold"}
