"""Scores with 95 % intervals, of groups of results and of weighted means of groups. docs/confidence.md has the method."""

from collections.abc import Callable
from typing import TypeAlias

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
from orchboard.store.details.sums import MOMENTS
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.group_index import Indices, is_run_start

_S, _SEG, _RTT = (MEASURES.index(name) for name in ("success_rate", "seg_duration", "round_trip_time"))

# A group's variance counts as if it had so many more results with the variance of the owner's groups together: a variance
# of two results says little, and with one result there is none.
_POOLED_RESULTS = 4.0

_MAX_EXPONENT = 50.0

Total: TypeAlias = Callable[[Doubles], Doubles]
"""From the values of groups to the sums of each of their owners."""


def by_owner(whose: Indices, number: int) -> Total:
    """Sums for owners 0 to number - 1. whose -- the owner of each group"""
    return lambda values: np.bincount(whose, values, number).astype(np.float64, copy=False)


def by_run(starts: Indices) -> Total:
    """Sums of runs of groups; 10 times as fast. starts -- the first group of each run, from 0 on, ascending"""
    return lambda values: np.add.reduceat(values, starts) if len(starts) else np.zeros(0)


class GroupStatistics(Struct, frozen=True):
    """What is known of groups: the scored results by owner, region, pipeline and model. Arrays of shape (groups,).

    owner -- of each group; the groups of each owner are next to one another
    results -- their number, at least 1
    means -- of the measures, shape (measures, groups)
    moments -- as in SeriesSums, shape (moments, groups); AI needs those without the duration of segments only
    median -- of the model's round trips, in seconds; 0 without one, and for transcoding
    """

    job_type: JobType
    owner: Indices
    results: Doubles
    means: Doubles
    moments: Doubles
    median: Doubles

    def score(self, factor: Doubles | float = 1.0) -> Scores:
        """The scores of each group, had all round trips taken `factor` times as long."""
        return self.score_with(self.means[_S], self.means[_RTT] * factor)

    def score_with(self, success_rate: Doubles, round_trip_time: Doubles) -> Scores:
        """The scores of each group, had it these means; shape (groups,) or (any number, groups)."""
        if self.job_type is JobType.AI:
            return score_ai(success_rate, round_trip_time, self.median)
        return score_transcoding(success_rate, self.means[_SEG], round_trip_time)

    def moment(self, one: int, other: int) -> Doubles:
        """The sum of products of two measures' deviations from their means."""
        values: Doubles = self.moments[MOMENTS.index((min(one, other), max(one, other)))]
        return values


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
    """The scores of groups, and how each varies with the means it is computed from. Arrays of shape (groups,).

    by_success, by_round_trip -- derivatives of the score by the success rate and by the round-trip score
    rate_variance -- of the mean success rate; 0 if it is not known
    fall, rise -- how much the round-trip score changes when the mean round trip is at the ends of its interval
    covariance -- of the mean success rate and the round-trip score
    bias -- by how much the score is above its limit for many results, on average, because the formula is not linear
    jump -- by how much a first success would lift the score of a group that never succeeded
    """

    @np.errstate(over="ignore", invalid="ignore")  # testers send any number
    def __init__(self, groups: GroupStatistics) -> None:
        self.groups = groups
        self.scores = groups.score()
        success_rate, round_trip_score = self.scores.success_rate, self.scores.round_trip_score
        is_ai = groups.job_type is JobType.AI
        self.by_success = np.full(len(success_rate), SUCCESS_WEIGHT) if is_ai else round_trip_score
        self.by_round_trip = np.full(len(success_rate), ROUND_TRIP_WEIGHT) if is_ai else success_rate
        of_rates = _with_pooled(groups.moment(_S, _S), groups) / groups.results
        self.rate_variance = np.where(np.isfinite(of_rates), of_rates, 0.0)
        variance, covariance = _of_log_round_trip(groups)
        error = np.minimum(Z * np.sqrt(variance), _MAX_EXPONENT)
        factor = np.exp(error)
        self.fall = round_trip_score - groups.score(factor).round_trip_score
        self.rise = groups.score(1 / factor).round_trip_score - round_trip_score
        slope = np.divide(self.fall + self.rise, -2 * error, out=np.zeros(len(error)), where=error > 0)
        self.covariance = slope * covariance
        curvature = (self.rise - self.fall) / (Z * Z) - slope * np.where(np.isfinite(variance), variance, 0.0)
        self.bias = self.by_round_trip * curvature / 2 + (0.0 if is_ai else self.covariance)
        self.jump = np.where(success_rate == 0, ROUND_TRIP_WEIGHT * round_trip_score, 0.0) if is_ai else None


def _of_log_round_trip(groups: GroupStatistics) -> tuple[Doubles, Doubles]:
    """The variance of the logarithm of the mean round trip, and its covariance with the success rate; by the delta method.

    For transcoding, the round trip is divided by the duration of segments.
    """
    took, video = _inverse(groups.means[_RTT]), _inverse(groups.means[_SEG])
    with np.errstate(over="ignore", invalid="ignore"):  # testers send any number
        of_all = took * took * groups.moment(_RTT, _RTT)
        covariance = took * groups.moment(_S, _RTT)
        if groups.job_type is JobType.TRANSCODING:
            of_all += video * (video * groups.moment(_SEG, _SEG) - 2 * took * groups.moment(_SEG, _RTT))
            covariance -= video * groups.moment(_S, _SEG)
        variance = _with_pooled(np.where(np.isfinite(of_all), np.maximum(of_all, 0.0), np.inf), groups)
        covariance /= groups.results * np.maximum(groups.results - 1, 1)
    return variance / groups.results, np.where(np.isfinite(covariance), covariance, 0.0)


def _inverse(values: Doubles) -> Doubles:
    return np.divide(1.0, values, out=np.zeros(len(values)), where=values > 0)


def _with_pooled(moment: Doubles, groups: GroupStatistics) -> Doubles:
    """Variances of one result, each drawn towards that of all groups of its owner; infinite if all have one result."""
    is_first = is_run_start(groups.owner)
    total = by_run(np.flatnonzero(is_first))
    degrees = groups.results - 1
    sums, of_all = total(moment), total(degrees)
    of_owner = np.divide(sums, of_all, out=np.full(len(sums), np.inf), where=of_all > 0)
    pooled = of_owner[np.cumsum(is_first) - 1]
    variance: Doubles = (moment + _POOLED_RESULTS * pooled) / (degrees + _POOLED_RESULTS)
    return variance


@np.errstate(over="ignore", invalid="ignore")  # testers send any number
def estimate(of: Sensitivity, weights: Doubles, total: Total) -> Estimates:
    """The weighted means of groups, with intervals.

    weights -- of each group; those of one mean add up to 1
    total -- adds up the groups of each mean, of which each has at least one
    """
    rate = _rate(of, weights, total)
    succeeded = _rate(of, weights * of.by_success, total)
    weighted = weights * of.by_round_trip
    round_trip = _round_trip(of, weighted, total)
    product = np.sqrt(round_trip.variance * succeeded.variance)
    covariance = total(weighted * weights * of.by_success * of.covariance)
    none = np.zeros(len(product))
    correlation = np.clip(np.divide(covariance, product, out=none, where=product > 0), -1.0, 1.0)
    score = total(weights * of.scores.score)
    center = score - total(weights * of.bias)
    low = center - _joined(succeeded.fall, round_trip.fall, correlation)
    high = center + _joined(succeeded.rise, round_trip.rise, correlation)
    if of.jump is not None:
        high += total(weights * of.jump)
    return Estimates(
        score,
        np.fmin(np.clip(low, 0.0, 1.0), score),
        np.fmax(np.clip(high, 0.0, 1.0), score),
        rate.total,
        np.fmin(rate.total - rate.fall, rate.total),
        np.fmax(rate.total + rate.rise, rate.total),
        total(weights * of.scores.round_trip_score),
    )


class _Term(Struct, frozen=True):
    """A weighted sum of a number of groups: its variance, and the distances of its interval's ends from it. Arrays."""

    total: Doubles
    variance: Doubles
    fall: Doubles
    rise: Doubles


def _rate(of: Sensitivity, weights: Doubles, total: Total) -> _Term:
    """Of success rates: Wilson's interval for as many binary results as would have the variance that was observed."""
    results, weight = total(of.groups.results), total(weights)
    sums = total(weights * of.scores.success_rate)
    squares = weights * weights
    variance = total(squares * of.rate_variance)
    rate = np.clip(np.divide(sums, weight, out=np.zeros(len(sums)), where=weight > 0), 0.0, 1.0)
    effective = results.copy()
    np.divide(weight**2, total(squares / of.groups.results), out=effective, where=weight > 0)
    binary = rate * (1 - rate) * weight**2
    unbiased = results / np.maximum(results - 1, 1)
    np.divide(binary * unbiased, variance, out=effective, where=(variance > 0) & (binary > 0))
    low, high = wilson(rate, np.maximum(effective, 1.0))  # less than 1 by numbers out of range only
    return _Term(sums, variance, weight * (rate - low), weight * (high - rate))


def _round_trip(of: Sensitivity, weights: Doubles, total: Total) -> _Term:
    """Of round-trip scores: Student's interval, with the degrees of freedom of Welch and Satterthwaite."""
    squares = weights * weights
    variances = squares * (of.fall + of.rise) ** 2 / (4 * Z * Z)
    variance = total(variances)
    uncertainty = total(variances**2 / np.maximum(of.groups.results - 1, 1))
    unknown = np.full(len(variance), np.inf)
    degrees = np.divide(variance**2, uncertainty, out=unknown, where=uncertainty > 0)
    wider = student_quantile(degrees) / Z
    fall, rise = (wider * np.sqrt(total(squares * each**2)) for each in (of.fall, of.rise))
    return _Term(total(weights * of.scores.round_trip_score), variance, fall, rise)


def _joined(one: Doubles, other: Doubles, correlation: Doubles) -> Doubles:
    """The distance of an interval's end from a sum, made of those of its two terms (MOVER; Zou and Donner, 2008)."""
    squared = one**2 + other**2 + 2 * correlation * one * other
    distance: Doubles = np.sqrt(np.maximum(squared, 0.0))
    return distance
