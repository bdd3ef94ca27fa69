"""Scores with 95 % intervals, of groups of results and of weighted means of groups. docs/confidence.md has the method."""

import numpy as np
from msgspec import Struct

from orchboard.analytics.groups import Groups
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

# A group's variance counts as if it had so many more results with the variance of the orchestrator's groups together: a variance
# of two results says little, and with one result there is none.
_POOLED_RESULTS = 4.0

_MAX_EXPONENT = 50.0


class Estimates(Struct, frozen=True):
    """Numbers and the ends of their 95 % intervals. Arrays of equal length."""

    score: Doubles
    score_low: Doubles
    score_high: Doubles
    success_rate: Doubles
    success_low: Doubles
    success_high: Doubles
    round_trip_score: Doubles


class ScoredGroups:
    """Groups with their scores, and how each score varies with its means.

    by_success, by_round_trip -- derivatives of the score by the success rate and by the round-trip score
    fall, rise -- how much the round-trip score changes when the mean round trip is at the ends of its interval
    covariance -- of the success rate and the round-trip score, of the mean
    bias -- by how much the score is above its limit for many results, on average, because the formula is not linear
    jump -- by how much a first success would lift the score of a group that never succeeded
    """

    def __init__(self, groups: Groups) -> None:
        self.groups = groups
        self.scores = self._score(1.0)
        success_rate, round_trip_score = self.scores.success_rate, self.scores.round_trip_score
        is_ai = groups.job_type is JobType.AI
        self.by_success = np.full(len(success_rate), SUCCESS_WEIGHT) if is_ai else round_trip_score
        self.by_round_trip = np.full(len(success_rate), ROUND_TRIP_WEIGHT) if is_ai else success_rate
        variance, covariance = self._of_log_round_trip()
        error = np.minimum(Z * np.sqrt(variance), _MAX_EXPONENT)
        self.fall = round_trip_score - self._score(np.exp(error)).round_trip_score
        self.rise = self._score(np.exp(-error)).round_trip_score - round_trip_score
        slope = np.divide(self.fall + self.rise, -2 * error, out=np.zeros(len(error)), where=error > 0)
        self.covariance = slope * covariance
        curvature = (self.rise - self.fall) / (Z * Z) - slope * np.where(np.isfinite(variance), variance, 0.0)
        self.bias = self.by_round_trip * curvature / 2 + (0.0 if is_ai else self.covariance)
        self.jump = np.where(success_rate == 0, ROUND_TRIP_WEIGHT * round_trip_score, 0.0) * is_ai

    def _score(self, factor: Doubles | float) -> Scores:
        """The scores if all round trips took `factor` times as long."""
        success_rate, seg_duration, round_trip_time = self.groups.means
        if self.groups.job_type is JobType.AI:
            return score_ai(success_rate, round_trip_time * factor, self.groups.median)
        return score_transcoding(success_rate, seg_duration, round_trip_time * factor)

    def _of_log_round_trip(self) -> tuple[Doubles, Doubles]:
        """The variance of the logarithm of the mean round trip, and its covariance with the success rate; by the delta method.

        For transcoding, the round trip is divided by the duration of segments.
        """
        means, covariances = self.groups.means, self.groups.covariances
        gradient = np.zeros(means.shape)
        np.divide(1.0, means[_RTT], out=gradient[_RTT], where=means[_RTT] > 0)
        if self.groups.job_type is JobType.TRANSCODING:
            np.divide(-1.0, means[_SEG], out=gradient[_SEG], where=means[_SEG] > 0)
        products = np.einsum("ijg,jg->ig", covariances, gradient)
        variance = _with_pooled(np.maximum((gradient * products).sum(axis=0), 0.0), self.groups)
        return variance / self.groups.results, products[_S] / self.groups.results


def estimate(scored: ScoredGroups, weights: Doubles, whose: Indices, number: int) -> Estimates:
    """The weighted means of groups, with intervals.

    weights -- of each group; those of one mean add up to 1
    whose -- the mean that each group belongs to, from 0 to number - 1
    """
    scores = scored.scores
    rate = _rate(scored, weights, whose, number)
    succeeded = _rate(scored, weights * scored.by_success, whose, number)
    round_trip = _round_trip(scored, weights * scored.by_round_trip, whose, number)
    product = np.sqrt(round_trip.variance * succeeded.variance)
    covariances = weights * weights * scored.by_success * scored.by_round_trip * scored.covariance
    covariance = np.bincount(whose, covariances, number)
    correlation = np.clip(np.divide(covariance, product, out=np.zeros(number), where=product > 0), -1.0, 1.0)
    score = np.bincount(whose, weights * scores.score, number)
    center = score - np.bincount(whose, weights * scored.bias, number)
    low = center - _joined(succeeded.fall, round_trip.fall, correlation)
    high = center + _joined(succeeded.rise, round_trip.rise, correlation)
    high += np.bincount(whose, weights * scored.jump, number)
    return Estimates(
        score,
        np.minimum(np.clip(low, 0.0, 1.0), score),
        np.maximum(np.clip(high, 0.0, 1.0), score),
        rate.total,
        rate.total - rate.fall,
        rate.total + rate.rise,
        np.bincount(whose, weights * scores.round_trip_score, number),
    )


class _Term(Struct, frozen=True):
    """A weighted sum of a number of groups: its variance, and the distances of its interval's ends from it. Arrays."""

    total: Doubles
    variance: Doubles
    fall: Doubles
    rise: Doubles


def _rate(scored: ScoredGroups, weights: Doubles, whose: Indices, number: int) -> _Term:
    """Of success rates: Wilson's interval for as many binary results as would have the variance that was observed."""
    groups = scored.groups
    results = np.bincount(whose, groups.results, number)
    one = np.bincount(whose, weights, number)
    total = np.bincount(whose, weights * scored.scores.success_rate, number)
    of_rates = _with_pooled(groups.covariances[_S, _S], groups)
    squares = weights * weights / groups.results
    variance = np.bincount(whose, squares * np.where(np.isfinite(of_rates), of_rates, 0.0), number)
    rate = np.clip(np.divide(total, one, out=np.zeros(number), where=one > 0), 0.0, 1.0)
    effective = np.divide(one**2, np.bincount(whose, squares, number), out=results.copy(), where=one > 0)
    binary = rate * (1 - rate) * one**2
    unbiased = results / np.maximum(results - 1, 1)
    np.divide(binary * unbiased, variance, out=effective, where=(variance > 0) & (binary > 0))
    low, high = wilson(rate, effective)
    return _Term(total, variance, one * (rate - low), one * (high - rate))


def _round_trip(scored: ScoredGroups, weights: Doubles, whose: Indices, number: int) -> _Term:
    """Of round-trip scores: Student's interval, with the degrees of freedom of Welch and Satterthwaite."""
    variances = (weights * (scored.fall + scored.rise) / (2 * Z)) ** 2
    variance = np.bincount(whose, variances, number)
    uncertainty = np.bincount(whose, variances**2 / np.maximum(scored.groups.results - 1, 1), number)
    degrees = np.divide(variance**2, uncertainty, out=np.full(number, np.inf), where=uncertainty > 0)
    wider = student_quantile(degrees) / Z
    fall, rise = (
        wider * np.sqrt(np.bincount(whose, (weights * each) ** 2, number))
        for each in (scored.fall, scored.rise)
    )
    total = np.bincount(whose, weights * scored.scores.round_trip_score, number)
    return _Term(total, variance, fall, rise)


def _joined(one: Doubles, other: Doubles, correlation: Doubles) -> Doubles:
    """The distance of an interval's end from a sum, made of those of its two terms (MOVER; Zou and Donner, 2008)."""
    return np.sqrt(np.maximum(one**2 + other**2 + 2 * correlation * one * other, 0.0))


def _with_pooled(variance: Doubles, groups: Groups) -> Doubles:
    """Variances of one result, each drawn towards that of all groups of its orchestrator; infinite if all have one result."""
    degrees = groups.results - 1
    total = np.bincount(groups.orchestrator, degrees * variance)
    of_all = np.bincount(groups.orchestrator, degrees)
    pooled = np.divide(total, of_all, out=np.full(len(total), np.inf), where=of_all > 0)[groups.orchestrator]
    return (degrees * variance + _POOLED_RESULTS * pooled) / (degrees + _POOLED_RESULTS)
