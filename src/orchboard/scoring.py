"""Scores from means: pure arithmetic, no time, no store.

The formulas are the network's own (CONTRACT: docs/scoring.md); what is ours is that every
result is a finite number, whatever a tester sent.
"""

import math
from collections.abc import Iterable

from orchboard.stats import Score

TARGET_AT_MEDIAN = 0.8
SUCCESS_WEIGHT = 0.65
ROUND_TRIP_WEIGHT = 0.35


def transcoding_round_trip_score(seg_duration: float, round_trip_time: float) -> float:
    """Score how much faster than real time segments came back, from 0 to 1.

    seg_duration -- mean seconds of video in a segment
    round_trip_time -- mean seconds until its renditions were back; 0 or less scores 0

    >>> round(transcoding_round_trip_score(2.0, 1.0), 6)
    0.864665
    """
    if round_trip_time <= 0:
        return 0.0
    return _fraction(-math.expm1(-_bounded(seg_duration / round_trip_time)))


def ai_round_trip_score(round_trip_time: float, median_rtt: float | None) -> float:
    """Score one AI round trip against its group's median, from 0 to 1.

    Exponential decay set so that a job exactly at the median scores 0.8; the median,
    not the mean, so that one stuck job moves nobody else.

    round_trip_time -- mean seconds
    median_rtt -- seconds; None, 0 or less when no job in the window succeeded: score 0

    >>> round(ai_round_trip_score(6.0, median_rtt=3.0), 6)
    0.64
    """
    if median_rtt is None or median_rtt <= 0:
        return 0.0
    return _fraction(math.exp(_bounded(math.log(TARGET_AT_MEDIAN) * round_trip_time / median_rtt)))


def score_transcoding(success_rate: float, seg_duration: float, round_trip_time: float) -> Score:
    """Score one orchestrator's transcoding in one region from its means."""
    round_trip_score = transcoding_round_trip_score(seg_duration, round_trip_time)
    return Score(success_rate + 0.0, round_trip_score, success_rate * round_trip_score + 0.0)


def score_ai(success_rate: float, round_trip_time: float, median_rtt: float | None) -> Score:
    """Score one orchestrator's AI jobs of one pipeline and model in one region from its means.

    An orchestrator that never succeeded scores 0, however fast it failed.
    """
    round_trip_score = ai_round_trip_score(round_trip_time, median_rtt)
    score = SUCCESS_WEIGHT * success_rate + ROUND_TRIP_WEIGHT * round_trip_score
    return Score(success_rate + 0.0, round_trip_score, score if success_rate else 0.0)


def weighted_mean(scores: Iterable[tuple[int, Score]]) -> Score:
    """Merge the scores of several pipelines and models into one, weighted by results.

    scores -- (number of results, score); at least one, numbers above 0

    >>> weighted_mean([(1, Score(1.0, 0.8, 0.9)), (3, Score(0.0, 0.4, 0.0))])
    Score(success_rate=0.25, round_trip_score=0.5, score=0.225)
    """
    parts = list(scores)
    total = math.fsum(n for n, _ in parts)
    return Score(
        math.fsum(n * s.success_rate for n, s in parts) / total,
        math.fsum(n * s.round_trip_score for n, s in parts) / total,
        math.fsum(n * s.score for n, s in parts) / total,
    )


def _bounded(exponent: float) -> float:
    # e^-700 is the last that is not 0; beyond ±700 only overflow is left.
    return max(-700.0, min(700.0, exponent))


def _fraction(value: float) -> float:
    return max(0.0, min(1.0, value)) + 0.0
