"""Why a score is what it is: its terms, what is missing to 1, and the score if one region, model or error code were fixed."""

import numpy as np
from msgspec import Struct

from orchboard.analytics.breakdown import Breakdown
from orchboard.analytics.errors import MAX_CODES
from orchboard.reports.orchestrator import ErrorCost, ModelCost, RegionCost, Term, Why
from orchboard.scoring import ROUND_TRIP_WEIGHT, SUCCESS_WEIGHT, Doubles, score_ai
from orchboard.stats import JobType
from orchboard.store.details.error_sums import number_codes

_FORMULAS = {
    JobType.AI: f"{SUCCESS_WEIGHT} * success_rate + {ROUND_TRIP_WEIGHT} * round_trip_score, and 0 if success_rate is 0",
    JobType.TRANSCODING: "success_rate * round_trip_score",
}


def find_reasons(breakdown: Breakdown) -> Why:
    """The reasons of the score of an orchestrator."""
    is_ai = breakdown.job_type is JobType.AI
    terms = _terms(breakdown)
    return Why(
        formula=_FORMULAS[breakdown.job_type],
        success_weight=SUCCESS_WEIGHT if is_ai else None,
        round_trip_weight=ROUND_TRIP_WEIGHT if is_ai else None,
        lost_to_failures=sum(term.weight * term.lost_to_failures for term in terms),
        lost_to_round_trips=sum(term.weight * term.lost_to_round_trips for term in terms),
        terms=terms,
        regions=_region_costs(breakdown),
        models=_model_costs(breakdown) if is_ai else [],
        errors=_error_costs(breakdown),
    )


def split_loss(
    job_type: JobType, success_rate: Doubles, round_trip_score: Doubles
) -> tuple[Doubles, Doubles]:
    """What failures and round trips take from a score of 1; with the score they add up to 1.

    AI: each loses its part of the weighted sum. An orchestrator that never succeeded loses the part of the round trips that it
    would have had to its failures. Transcoding: a product; each loses the mean of what it takes before and after the other (the
    Shapley value).
    """
    failed, slow = 1 - success_rate, 1 - round_trip_score
    if job_type is JobType.TRANSCODING:
        return failed * (1 + round_trip_score) / 2, slow * (1 + success_rate) / 2
    forfeited = np.where(success_rate == 0, ROUND_TRIP_WEIGHT * round_trip_score, 0.0)
    return SUCCESS_WEIGHT * failed + forfeited, ROUND_TRIP_WEIGHT * slow


def _terms(breakdown: Breakdown) -> list[Term]:
    """A term of each group, the one that loses most first."""
    scores, weights = breakdown.sensitivity.scores, breakdown.weights
    to_failures, to_round_trips = split_loss(breakdown.job_type, scores.success_rate, scores.round_trip_score)
    reference = (
        breakdown.statistics.median if breakdown.job_type is JobType.AI else breakdown.mean("seg_duration")
    )
    names = [
        (breakdown.regions[region], *breakdown.models[model])
        for region, model in zip(breakdown.region.tolist(), breakdown.model.tolist(), strict=True)
    ]
    columns = (
        breakdown.statistics.results.astype(np.int64).tolist(),
        weights.tolist(),
        scores.success_rate.tolist(),
        breakdown.mean("round_trip_time").tolist(),
        [each if each > 0 else None for each in reference.tolist()],
        scores.round_trip_score.tolist(),
        scores.score.tolist(),
        to_failures.tolist(),
        to_round_trips.tolist(),
    )
    terms = [
        Term(**dict(zip(Term.__struct_fields__, (*name, *numbers), strict=True)))
        for name, *numbers in zip(names, *columns, strict=True)
    ]
    return sorted(
        terms, key=lambda term: (-term.weight * (1 - term.score), term.region, term.pipeline, term.model)
    )


def _region_costs(breakdown: Breakdown) -> list[RegionCost]:
    score = breakdown.sensitivity.scores.score
    of_region = np.bincount(breakdown.region, breakdown.weights_in_region * score)
    total = float(breakdown.weights @ score)
    costs = (of_region.max() - of_region) / len(breakdown.regions)
    found = [
        RegionCost(region=region, score=own, if_fixed=total + cost, cost=cost)
        for region, own, cost in zip(breakdown.regions, of_region.tolist(), costs.tolist(), strict=True)
    ]
    return sorted(found, key=lambda each: (-each.cost, each.region))


def _model_costs(breakdown: Breakdown) -> list[ModelCost]:
    """A job at the median that succeeds has the same score with every model."""
    score, weights = breakdown.sensitivity.scores.score, breakdown.weights
    [at_median] = score_ai([1.0], [1.0], [1.0]).score
    total = float(weights @ score)
    costs = np.bincount(breakdown.model, weights * np.maximum(at_median - score, 0.0))
    found = [
        ModelCost(pipeline=pipeline, model=model, if_fixed=total + cost, cost=cost)
        for (pipeline, model), cost in zip(breakdown.models, costs.tolist(), strict=True)
    ]
    return sorted(found, key=lambda each: (-each.cost, each.pipeline, each.model))


def _error_costs(breakdown: Breakdown) -> list[ErrorCost]:
    """Of the MAX_CODES codes with the most results."""
    scores, weights = breakdown.sensitivity.scores, breakdown.weights
    failures = _failures(breakdown)
    codes, lost = lost_to_codes(breakdown, failures.number)
    of_code = lost.sum(axis=1)
    most = sorted(range(len(codes)), key=lambda code: (-of_code[code], codes[code]))[:MAX_CODES]
    share = lost[most] / breakdown.statistics.results
    fixed = breakdown.statistics.score_with(
        scores.success_rate + share * failures.deficit,
        breakdown.mean("round_trip_time") + share * (failures.success_time - failures.failure_time),
    )
    if_fixed, total = fixed.score @ weights, float(weights @ scores.score)
    found = [
        ErrorCost(code=codes[code], results=float(of_code[code]), if_fixed=score, cost=score - total)
        for code, score in zip(most, if_fixed.tolist(), strict=True)
    ]
    return sorted(found, key=lambda each: (-each.cost, each.code))


class _Failures(Struct, frozen=True):
    """The scored results of each group that did not succeed fully. Arrays of shape (groups,).

    number -- of them
    deficit -- the mean of what is missing to a success rate of 1; 0 without any
    failure_time -- their mean round trip, in seconds
    success_time -- the mean round trip of the others; without any, of those of the same model, or of all; else `failure_time`
    """

    number: Doubles
    deficit: Doubles
    failure_time: Doubles
    success_time: Doubles


def _failures(breakdown: Breakdown) -> _Failures:
    results = breakdown.statistics.results
    number = results - breakdown.successes
    deficit = np.clip(results * (1 - breakdown.mean("success_rate")), 0.0, number)
    counts, times = breakdown.total_round_trips()
    others, mean = results - counts, breakdown.mean("round_trip_time")
    failure_time = np.divide(mean * results - times, others, out=mean.copy(), where=others > 0)
    return _Failures(
        number,
        np.divide(deficit, number, out=np.zeros(len(number)), where=number > 0),
        failure_time,
        _success_time(breakdown, counts, times, failure_time),
    )


def _success_time(breakdown: Breakdown, counts: Doubles, times: Doubles, otherwise: Doubles) -> Doubles:
    """See _Failures. counts, times -- of the round trips of each group"""
    model, success_time = breakdown.model, otherwise.copy()
    of_model = np.bincount(model, times)[model], np.bincount(model, counts)[model]
    of_all = np.full_like(times, times.sum()), np.full_like(counts, counts.sum())
    for time, count in (of_all, of_model, (times, counts)):
        np.divide(time, count, out=success_time, where=count > 0)
    return success_time


def lost_to_codes(breakdown: Breakdown, failures: Doubles) -> tuple[list[str], Doubles]:
    """Error codes, and the number of scored results of each group that did not succeed and have them, shape (codes, groups).

    Details count the results with a code, whether they are scored or not and whether they succeeded. When the codes of a group
    have more results than failed, each gets its share of the failures.

    failures -- the number of results of each group that did not succeed fully
    """
    errors = breakdown.errors()
    codes, number = number_codes(errors)
    shape = len(codes), len(breakdown)
    at = np.ravel_multi_index((number, errors.series), shape)
    results = np.bincount(at, errors.results, len(codes) * len(breakdown)).reshape(shape)
    of_all = results.sum(axis=0)
    part = np.divide(failures, of_all, out=np.ones(len(of_all)), where=of_all > failures)
    return codes, results * part
