"""Why a score is what it is: its terms, what is missing to 1, and the score if one region, model or error code were fixed."""

from collections import defaultdict

import numpy as np
from msgspec import Struct

from orchboard.analytics.cells import Cells
from orchboard.analytics.errors import MAX_CODES
from orchboard.reports.orchestrator import ErrorCost, ModelCost, RegionCost, Term, Why
from orchboard.scoring import ROUND_TRIP_WEIGHT, SUCCESS_WEIGHT, Doubles, score_ai
from orchboard.stats import JobType

_FORMULAS = {
    JobType.AI: f"{SUCCESS_WEIGHT} * success_rate + {ROUND_TRIP_WEIGHT} * round_trip_score, and 0 if success_rate is 0",
    JobType.TRANSCODING: "success_rate * round_trip_score",
}


def find_reasons(cells: Cells) -> Why:
    """The reasons of the score of some cells."""
    is_ai = cells.job_type is JobType.AI
    terms = _terms(cells)
    return Why(
        formula=_FORMULAS[cells.job_type],
        success_weight=SUCCESS_WEIGHT if is_ai else None,
        round_trip_weight=ROUND_TRIP_WEIGHT if is_ai else None,
        lost_to_failures=sum(term.weight * term.lost_to_failures for term in terms),
        lost_to_round_trips=sum(term.weight * term.lost_to_round_trips for term in terms),
        terms=terms,
        regions=_region_costs(cells),
        models=_model_costs(cells) if is_ai else [],
        errors=_error_costs(cells),
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


def _terms(cells: Cells) -> list[Term]:
    scores, weights = cells.scores, cells.weights
    to_failures, to_round_trips = split_loss(cells.job_type, scores.success_rate, scores.round_trip_score)
    is_ai = cells.job_type is JobType.AI
    reference = cells.median if is_ai else cells.mean("seg_duration")
    round_trip_time = cells.mean("round_trip_time")
    order = np.argsort(-weights * (1 - scores.score), kind="stable").tolist()
    return [
        Term(
            region=cells.regions[cells.region[cell]],
            pipeline=cells.models[cells.model[cell]][0],
            model=cells.models[cells.model[cell]][1],
            results=int(cells.sums.results[cell]),
            weight=float(weights[cell]),
            success_rate=float(scores.success_rate[cell]),
            round_trip_time=float(round_trip_time[cell]),
            reference=float(reference[cell]) if reference[cell] > 0 else None,
            round_trip_score=float(scores.round_trip_score[cell]),
            score=float(scores.score[cell]),
            lost_to_failures=float(to_failures[cell]),
            lost_to_round_trips=float(to_round_trips[cell]),
        )
        for cell in order
    ]


def _region_costs(cells: Cells) -> list[RegionCost]:
    score = cells.scores.score
    of_region = np.bincount(cells.region, cells.weights_in_region * score)
    total = float(cells.weights @ score)
    costs = (of_region.max() - of_region) / len(cells.regions)
    found = [
        RegionCost(region=region, score=own, if_fixed=total + cost, cost=cost)
        for region, own, cost in zip(cells.regions, of_region.tolist(), costs.tolist(), strict=True)
    ]
    return sorted(found, key=lambda each: (-each.cost, each.region))


def _model_costs(cells: Cells) -> list[ModelCost]:
    """A job at the median that succeeds has the same score with every model."""
    score, weights = cells.scores.score, cells.weights
    [at_median] = score_ai([1.0], [1.0], [1.0]).score
    total = float(weights @ score)
    costs = np.bincount(cells.model, weights * np.maximum(at_median - score, 0.0))
    found = [
        ModelCost(pipeline=pipeline, model=model, if_fixed=total + cost, cost=cost)
        for (pipeline, model), cost in zip(cells.models, costs.tolist(), strict=True)
    ]
    return sorted(found, key=lambda each: (-each.cost, each.pipeline, each.model))


def _error_costs(cells: Cells) -> list[ErrorCost]:
    scores, weights = cells.scores, cells.weights
    total = float(weights @ scores.score)
    failures = _failures(cells)
    found = []
    most = sorted(lost_to_codes(cells, failures).items(), key=lambda item: (-float(item[1].sum()), item[0]))
    for code, lost in most[:MAX_CODES]:
        share = lost / cells.results
        fixed = cells.score(
            scores.success_rate + share * failures.deficit,
            cells.mean("round_trip_time") + share * (failures.success_time - failures.failure_time),
        )
        if_fixed = float(weights @ fixed.score)
        found.append(
            ErrorCost(code=code, results=float(lost.sum()), if_fixed=if_fixed, cost=if_fixed - total)
        )
    return sorted(found, key=lambda each: (-each.cost, each.code))


class _Failures(Struct, frozen=True):
    """The scored results of each cell that did not succeed fully. Arrays of shape (cells,).

    number -- of them
    deficit -- the mean of what is missing to a success rate of 1; 0 without any
    failure_time -- their mean round trip, in seconds
    success_time -- the mean round trip of the others; without any, of those of the same model, or of all; else `failure_time`
    """

    number: Doubles
    deficit: Doubles
    failure_time: Doubles
    success_time: Doubles


def _failures(cells: Cells) -> _Failures:
    sums, results = cells.sums, cells.results
    number = results - sums.successes
    deficit = np.clip(results - sums.measure("success_rate"), 0.0, number)
    times = np.bincount(sums.round_trip_entries, sums.round_trips, len(results))
    counts = sums.round_trip_counts.astype(np.float64)
    others = results - counts
    mean = cells.mean("round_trip_time")
    failure_time = np.divide(sums.measure("round_trip_time") - times, others, out=mean, where=others > 0)
    success_time = failure_time.copy()
    of_model = np.bincount(cells.model, times)[cells.model], np.bincount(cells.model, counts)[cells.model]
    for time, count in (
        (np.full_like(times, times.sum()), np.full_like(times, counts.sum())),
        of_model,
        (times, counts),
    ):
        np.divide(time, count, out=success_time, where=count > 0)
    return _Failures(
        number,
        np.divide(deficit, number, out=np.zeros(len(number)), where=number > 0),
        failure_time,
        success_time,
    )


def lost_to_codes(cells: Cells, failures: _Failures) -> dict[str, Doubles]:
    """The number of scored results of each cell that did not succeed and have an error code, by code.

    Details count the results with a code, whether they are scored or not and whether they succeeded. When the codes of a cell
    have more results than failed, each gets its share of the failures.
    """
    by_code: dict[str, Doubles] = defaultdict(lambda: np.zeros(len(cells.results)))
    for error in cells.sums.errors:
        by_code[error.code][error.series] += error.results
    all_codes = sum(by_code.values(), np.zeros(len(cells.results)))
    part = np.divide(
        failures.number, all_codes, out=np.ones(len(all_codes)), where=all_codes > failures.number
    )
    return {code: results * part for code, results in by_code.items()}
