"""Scores with 95 % intervals, of groups of results and of weighted means of groups. docs/confidence.md has the method."""

import numpy as np
from msgspec import Struct

from orchboard.analytics.intervals import Z, student_quantile, wilson
from orchboard.scoring import (
    ROUND_TRIP_WEIGHT,
    SUCCESS_WEIGHT,
    Doubles,
    Scores,
    score_ai,
    score_transcoding,
)
from orchboard.stats import JobType
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.group_index import Indices

_S, _SEG, _RTT = (MEASURES.index(name) for name in ("success_rate", "seg_duration", "round_trip_time"))

# of two results says little, and with one result there is none.
_POOLED_RESULTS = 4.0

_MAX_EXPONENT = 50.0


def totals(values: Doubles, whose: Indices, number: int) -> Doubles:
    """The sums of the values of each owner, 0 to number - 1."""
    return np.bincount(whose, values, number).astype(np.float64, copy=False)


class GroupStatistics(Struct, frozen=True):
    """What is known of groups: the scored results by orchestrator, region, pipeline and model. Arrays of shape (groups,).

    owner -- the orchestrator of each group, from 0 on
    results -- their number, at least 1
    means -- of the measures, shape (measures, groups)
    covariances -- of the measures, divided by results - 1, shape (measures, measures, groups); 0 for one result
    median -- of the model's round trips, in seconds; 0 without one, and for transcoding
    """

    job_type: JobType
    owner: Indices
    results: Doubles
    means: Doubles
    covariances: Doubles
    median: Doubles

    def score(self, factor: Doubles | float = 1.0) -> Scores:
        """The scores of each group, had all round trips taken `factor` times as long."""
        success_rate, seg_duration, round_trip_time = self.means
        if self.job_type is JobType.AI:
            return score_ai(success_rate, round_trip_time * factor, self.median)
        return score_transcoding(success_rate, seg_duration, round_trip_time * factor)


class Estimates(Struct, frozen=True):
    """Numbers and the ends of their 95 % intervals. Arrays of equal length."""

    score: Doubles
    score_low: Doubles
    score_high: Doubles
    success_rate: Doubles
    success_low: Doubles
    success_high: Doubles
    round_trip_score: Doubles

    def select(self, positions: Indices) -> "Estimates":
        """Some of them."""
        return Estimates(*(getattr(self, name)[positions] for name in self.__struct_fields__))


class Sensitivity:
    """The scores of groups, and how each varies with the means it is computed from.

    by_success, by_round_trip -- derivatives of the score by the success rate and by the round-trip score
    fall, rise -- how much the round-trip score changes when the mean round trip is at the ends of its interval
    covariance -- of the success rate and the round-trip score, of the mean
    bias -- by how much the score is above its limit for many results, on average, because the formula is not linear
    jump -- by how much a first success would lift the score of a group that never succeeded
    """

    def __init__(self, groups: GroupStatistics) -> None:
        self.groups = groups
        self.scores = groups.score()
        success_rate, round_trip_score = self.scores.success_rate, self.scores.round_trip_score
        is_ai = groups.job_type is JobType.AI
        self.by_success = np.full(len(success_rate), SUCCESS_WEIGHT) if is_ai else round_trip_score
        self.by_round_trip = np.full(len(success_rate), ROUND_TRIP_WEIGHT) if is_ai else success_rate
        variance, covariance = self._of_log_round_trip()
        error = np.minimum(Z * np.sqrt(variance), _MAX_EXPONENT)
        self.fall = round_trip_score - groups.score(np.exp(error)).round_trip_score
        self.rise = groups.score(np.exp(-error)).round_trip_score - round_trip_score
        slope = np.divide(self.fall + self.rise, -2 * error, out=np.zeros(len(error)), where=error > 0)
        self.covariance = slope * covariance
        curvature = (self.rise - self.fall) / (Z * Z) - slope * np.where(np.isfinite(variance), variance, 0.0)
        self.bias = self.by_round_trip * curvature / 2 + (0.0 if is_ai else self.covariance)
        self.jump = np.where(success_rate == 0, ROUND_TRIP_WEIGHT * round_trip_score, 0.0) * is_ai

    def _of_log_round_trip(self) -> tuple[Doubles, Doubles]:
        """The variance of the logarithm of the mean round trip, and its covariance with the success rate; by the delta method.

        For transcoding, the round trip is divided by the duration of segments.
        """
        means, covariances = self.groups.means, self.groups.covariances
        gradient = np.zeros(means.shape)
        np.divide(1.0, means[_RTT], out=gradient[_RTT], where=means[_RTT] > 0)
        if self.groups.job_type is JobType.TRANSCODING:
            np.divide(-1.0, means[_SEG], out=gradient[_SEG], where=means[_SEG] > 0)
        with np.errstate(over="ignore", invalid="ignore"):  # testers send any number
            products = np.einsum("ijg,jg->ig", covariances, gradient)
            of_one = (gradient * products).sum(axis=0)
            variance = _with_pooled(
                np.where(np.isfinite(of_one), np.maximum(of_one, 0.0), np.inf), self.groups
            )
        covariance = np.where(np.isfinite(products[_S]), products[_S], 0.0)
        return variance / self.groups.results, covariance / self.groups.results


def estimate(of: Sensitivity, weights: Doubles, whose: Indices, number: int) -> Estimates:
    """The weighted means of groups, with intervals.

    weights -- of each group; those of one mean add up to 1
    whose -- the mean that each group belongs to, from 0 to number - 1
    """
    scores = of.scores
    rate = _rate(of, weights, whose, number)
    succeeded = _rate(of, weights * of.by_success, whose, number)
    round_trip = _round_trip(of, weights * of.by_round_trip, whose, number)
    product = np.sqrt(round_trip.variance * succeeded.variance)
    covariances = weights * weights * of.by_success * of.by_round_trip * of.covariance
    covariance = totals(covariances, whose, number)
    correlation = np.clip(np.divide(covariance, product, out=np.zeros(number), where=product > 0), -1.0, 1.0)
    score = totals(weights * scores.score, whose, number)
    center = score - totals(weights * of.bias, whose, number)
    low = center - _joined(succeeded.fall, round_trip.fall, correlation)
    high = center + _joined(succeeded.rise, round_trip.rise, correlation)
    high += totals(weights * of.jump, whose, number)
    return Estimates(
        score,
        np.minimum(np.clip(low, 0.0, 1.0), score),
        np.maximum(np.clip(high, 0.0, 1.0), score),
        rate.total,
        rate.total - rate.fall,
        rate.total + rate.rise,
        totals(weights * scores.round_trip_score, whose, number),
    )


class _Term(Struct, frozen=True):
    """A weighted sum of a number of groups: its variance, and the distances of its interval's ends from it. Arrays."""

    total: Doubles
    variance: Doubles
    fall: Doubles
    rise: Doubles


def _rate(of: Sensitivity, weights: Doubles, whose: Indices, number: int) -> _Term:
    """Of success rates: Wilson's interval for as many binary results as would have the variance that was observed."""
    groups = of.groups
    results = totals(groups.results, whose, number)
    one = totals(weights, whose, number)
    total = totals(weights * of.scores.success_rate, whose, number)
    of_rates = _with_pooled(groups.covariances[_S, _S], groups)
    squares = weights * weights / groups.results
    variance = totals(squares * np.where(np.isfinite(of_rates), of_rates, 0.0), whose, number)
    rate = np.clip(np.divide(total, one, out=np.zeros(number), where=one > 0), 0.0, 1.0)
    effective = np.divide(one**2, totals(squares, whose, number), out=results.copy(), where=one > 0)
    binary = rate * (1 - rate) * one**2
    unbiased = results / np.maximum(results - 1, 1)
    np.divide(binary * unbiased, variance, out=effective, where=(variance > 0) & (binary > 0))
    low, high = wilson(rate, effective)
    return _Term(total, variance, one * (rate - low), one * (high - rate))


def _round_trip(of: Sensitivity, weights: Doubles, whose: Indices, number: int) -> _Term:
    """Of round-trip scores: Student's interval, with the degrees of freedom of Welch and Satterthwaite."""
    variances = (weights * (of.fall + of.rise) / (2 * Z)) ** 2
    variance = totals(variances, whose, number)
    uncertainty = totals(variances**2 / np.maximum(of.groups.results - 1, 1), whose, number)
    degrees = np.divide(variance**2, uncertainty, out=np.full(number, np.inf), where=uncertainty > 0)
    wider = student_quantile(degrees) / Z
    fall, rise = (
        wider * np.sqrt(totals((weights * each) ** 2, whose, number)) for each in (of.fall, of.rise)
    )
    total = totals(weights * of.scores.round_trip_score, whose, number)
    return _Term(total, variance, fall, rise)


def _joined(one: Doubles, other: Doubles, correlation: Doubles) -> Doubles:
    """The distance of an interval's end from a sum, made of those of its two terms (MOVER; Zou and Donner, 2008)."""
    squared = one**2 + other**2 + 2 * correlation * one * other
    distance: Doubles = np.sqrt(np.maximum(squared, 0.0))
    return distance


def _with_pooled(variance: Doubles, groups: GroupStatistics) -> Doubles:
    """Variances of one result, each drawn towards that of all groups of its orchestrator; infinite if all have one result."""
    owner, degrees = groups.owner, groups.results - 1
    known = np.where(degrees > 0, degrees * variance, 0.0)
    total, of_all = np.bincount(owner, known), np.bincount(owner, degrees)
    pooled = np.divide(total, of_all, out=np.full(len(total), np.inf), where=of_all > 0)[owner]
    shrunk: Doubles = (known + _POOLED_RESULTS * pooled) / (degrees + _POOLED_RESULTS)
    return shrunk
