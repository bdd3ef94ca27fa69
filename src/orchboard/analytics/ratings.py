"""The scores of one orchestrator by job type, region, pipeline and model, with their intervals."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np

from orchboard.analytics.cells import Cells, cells_of
from orchboard.analytics.estimates import Sensitivity, by_owner, estimate
from orchboard.analytics.grouping import group_details
from orchboard.analytics.reasons import find_reasons
from orchboard.reports.leaderboard import Estimate
from orchboard.reports.orchestrator import JobTypeRating, ModelRating, RegionRating
from orchboard.scoring import Doubles
from orchboard.stats import JobType, Series
from orchboard.store.details.details import Details
from orchboard.store.postgres.clock import from_pg_time
from orchboard.store.rollups.group_index import Indices

K = TypeVar("K", bound=Hashable)

Members = dict[str, Any]
"""Members of a Rating, by name."""

_NO_SCORES: Members = dict.fromkeys(("score", "success_rate", "round_trip_score"))


def rate_job_types(details: Details, *, has_scores: bool) -> list[JobTypeRating]:
    """The scores of the only orchestrator of some details, of each job type with results.

    has_scores -- False: all scores are None, as those of a name that is no address
    """
    of_entry = [details.index.all[number].job_type for number in details.sums.series.tolist()]
    found = []
    for job_type in sorted(set(of_entry)):
        entries = np.flatnonzero([each is job_type for each in of_entry])
        selected = Details(details.index, details.sums.select(entries), details.medians)
        found.append(_rate_job_type(selected, job_type, cells_of(selected, job_type) if has_scores else None))
    return found


def _rate_job_type(details: Details, job_type: JobType, cells: Cells | None) -> JobTypeRating:
    total = _members(details, lambda _: "")[""]
    regions = _members(details, lambda series: series.region)
    models = _members(details, lambda series: (series.pipeline, series.model))
    if cells is not None:
        [scores] = estimate_means(cells, cells.weights, np.zeros(len(cells.region), np.int64), 1)
        total |= scores
        _update(
            regions,
            cells.regions,
            estimate_means(cells, cells.weights_in_region, cells.region, len(cells.regions)),
        )
        _update(
            models,
            cells.models,
            estimate_means(cells, cells.weights_in_model, cells.model, len(cells.models)),
        )
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
        why=None if cells is None else find_reasons(cells),
    )


def _update(members: dict[K, Members], keys: Sequence[K], scores: Sequence[Members]) -> None:
    for key, each in zip(keys, scores, strict=True):
        members[key] |= each


def estimate_means(cells: Cells, weights: Doubles, whose: Indices, number: int) -> list[Members]:
    """Weighted means of the cells' scores, with their intervals.

    weights -- of each cell; those of one mean add up to 1
    whose -- the mean that each cell belongs to, 0 to number - 1; each has a cell
    """
    found = estimate(Sensitivity(cells.statistics), weights, by_owner(whose, number))
    columns = [getattr(found, name).tolist() for name in found.__struct_fields__]
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


def _members(details: Details, key: Callable[[Series], K]) -> dict[K, Members]:
    """The members that need no score, and `cold`, of each key, sorted."""
    keys, sums = group_details(details, key)
    columns = (sums.results, sums.unscored, sums.successes, sums.cold, sums.last)
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
            keys, *(column.tolist() for column in columns), strict=True
        )
    }


def _without_cold(members: Members) -> Members:
    return {name: value for name, value in members.items() if name != "cold"}
