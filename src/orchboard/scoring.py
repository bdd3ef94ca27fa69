"""Scores from means: pure arithmetic on arrays, an element a group of results; no time, no store.

The formulas are the network's own (CONTRACT: docs/scoring.md); what is ours is that every
result is a finite number, whatever a tester sent.
"""

from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

Doubles: TypeAlias = NDArray[np.float64]

TARGET_AT_MEDIAN = 0.8
SUCCESS_WEIGHT = 0.65
ROUND_TRIP_WEIGHT = 0.35


class Scores(Struct, frozen=True):
    """Scores of many groups; arrays of the same length, what `Score` says of each element."""

    success_rate: Doubles
    round_trip_score: Doubles
    score: Doubles

    def columns(self) -> list[Doubles]:
        """The arrays, in the order of the fields."""
        return [self.success_rate, self.round_trip_score, self.score]


def transcoding_round_trip_score(seg_duration: ArrayLike, round_trip_time: ArrayLike) -> Doubles:
    """Score how much faster than real time segments came back, from 0 to 1.

    seg_duration -- mean seconds of video in a segment
    round_trip_time -- mean seconds until its renditions were back; 0 or less scores 0

    >>> transcoding_round_trip_score([2.0, 2.0], [1.0, 0.0]).round(6).tolist()
    [0.864665, 0.0]
    """
    took = np.asarray(round_trip_time, float)
    some = took > 0
    with np.errstate(over="ignore"):
        faster = np.divide(seg_duration, took, out=np.zeros(took.shape), where=some)
    return _fraction(-np.expm1(-_bounded(faster)))


def ai_round_trip_score(round_trip_time: ArrayLike, median_rtt: ArrayLike) -> Doubles:
    """Score AI round trips against their group's median, from 0 to 1.

    Exponential decay set so that a job exactly at the median scores 0.8; the median,
    not the mean, so that one slow job affects no other score.

    round_trip_time -- mean seconds
    median_rtt -- seconds; 0 or less when no job in the window succeeded: score 0

    >>> ai_round_trip_score([6.0, 6.0], [3.0, 0.0]).round(6).tolist()
    [0.64, 0.0]
    """
    median = np.asarray(median_rtt, float)
    some = median > 0
    decay = np.log(TARGET_AT_MEDIAN) * np.asarray(round_trip_time, float)
    with np.errstate(over="ignore"):
        exponent = np.divide(decay, median, out=np.zeros(decay.shape), where=some)
    return np.where(some, _fraction(np.exp(_bounded(exponent))), 0.0)


def score_transcoding(success_rate: ArrayLike, seg_duration: ArrayLike, round_trip_time: ArrayLike) -> Scores:
    """Score one orchestrator's transcoding in one region, each element, from its means."""
    succeeded = np.asarray(success_rate, float) + 0.0
    round_trip_score = transcoding_round_trip_score(seg_duration, round_trip_time)
    return Scores(succeeded, round_trip_score, succeeded * round_trip_score + 0.0)


def score_ai(success_rate: ArrayLike, round_trip_time: ArrayLike, median_rtt: ArrayLike) -> Scores:
    """Score one orchestrator's AI jobs of one pipeline and model in one region, each element, from its means.

    An orchestrator that never succeeded scores 0, however fast it failed.
    """
    succeeded = np.asarray(success_rate, float) + 0.0
    round_trip_score = ai_round_trip_score(round_trip_time, median_rtt)
    score = SUCCESS_WEIGHT * succeeded + ROUND_TRIP_WEIGHT * round_trip_score
    return Scores(succeeded, round_trip_score, np.where(succeeded != 0, score, 0.0))


def weighted_mean(scores: Scores, results: ArrayLike, whose: NDArray[np.int64]) -> Scores:
    """Merge the scores of several pipelines and models into one for each pair, weighted by results.

    results -- how many each score is over, above 0
    whose -- the pair of each score, from 0 on without gaps

    >>> parts = Scores(np.array([1.0, 0.0]), np.array([0.8, 0.4]), np.array([0.9, 0.0]))
    >>> [column.tolist() for column in weighted_mean(parts, [1, 3], np.array([0, 0])).columns()]
    [[0.25], [0.5], [0.225]]
    """
    weights = np.asarray(results, float)
    total = np.bincount(whose, weights)
    return Scores(*(np.bincount(whose, weights * column) / total for column in scores.columns()))


def _bounded(exponent: Doubles) -> Doubles:
    # e^-700 is the last that is not 0; beyond ±700 only overflow is left.
    return np.clip(exponent, -700.0, 700.0)


def _fraction(value: Doubles) -> Doubles:
    return np.clip(value, 0.0, 1.0) + 0.0
