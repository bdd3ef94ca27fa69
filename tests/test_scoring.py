"""Scores: the contract's worked examples to the last digit, and no input that breaks them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchboard.scoring import (
    Scores,
    ai_round_trip_score,
    score_ai,
    score_transcoding,
    transcoding_round_trip_score,
    weighted_mean,
)
from orchboard.stats import Score


def each(scores: Scores) -> list[Score]:
    """One by one."""
    return [Score(*of_one) for of_one in zip(*(column.tolist() for column in scores.columns()), strict=True)]


anything = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100)
rates = st.floats(0, 1)
times = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("success_rate", "round_trip_time", "expected"),
    [
        (1.0, 8.0, (0.699751727323698, 0.8949131045632943)),
        (0.75, 1.0, (0.956352499790037, 0.822223374926513)),
    ],
)
def test_the_worked_examples_hold_to_the_last_digit(
    success_rate: float, round_trip_time: float, expected: tuple[float, float]
) -> None:
    score = score_ai(success_rate, round_trip_time, median_rtt=5.0)
    assert (float(score.round_trip_score), float(score.score)) == expected


def test_a_job_at_the_median_scores_the_target() -> None:
    assert math.isclose(ai_round_trip_score(7.3, median_rtt=7.3), 0.8, rel_tol=1e-15)


def test_half_a_segment_in_no_time_is_the_best_and_in_real_time_is_not() -> None:
    assert transcoding_round_trip_score(2.0, 1e-9) == 1.0
    assert math.isclose(transcoding_round_trip_score(2.0, 2.0), 1 - math.exp(-1))


@pytest.mark.parametrize("round_trip_time", [0.0, -0.001, -5.0])
def test_a_transcoding_round_trip_of_nothing_scores_nothing(round_trip_time: float) -> None:
    assert each(score_transcoding([1.0], [2.0], [round_trip_time])) == [Score(1.0, 0.0, 0.0)]


@pytest.mark.parametrize("median_rtt", [0.0, -2.0])
def test_without_a_success_there_is_no_round_trip_score(median_rtt: float) -> None:
    assert each(score_ai([0.5], [3.0], [median_rtt])) == [Score(0.5, 0.0, 0.325)]


def test_never_succeeding_scores_zero_however_fast() -> None:
    assert score_ai(0.0, 0.1, median_rtt=5.0).score == 0.0


@given(rates, times, times)
def test_transcoding_scores_stay_in_range(
    success_rate: float, seg_duration: float, round_trip_time: float
) -> None:
    score = score_transcoding(success_rate, seg_duration, round_trip_time)
    assert 0 <= score.round_trip_score <= 1
    assert 0 <= score.score <= 1


@given(rates, times, times)
def test_ai_scores_stay_in_range(success_rate: float, round_trip_time: float, median_rtt: float) -> None:
    score = score_ai(success_rate, round_trip_time, median_rtt)
    assert 0 <= score.round_trip_score <= 1
    assert 0 <= score.score <= 1


@given(anything, anything, anything)
def test_no_input_gives_anything_but_finite_numbers(first: float, second: float, third: float) -> None:
    for score in (score_transcoding(first, second, third), score_ai(first, second, third)):
        assert all(
            math.isfinite(number) for number in (score.success_rate, score.round_trip_score, score.score)
        )


def test_more_results_weigh_more() -> None:
    scores = Scores(np.array([1.0, 0.0, 0.5]), np.array([0.8, 0.4, 0.5]), np.array([0.9, 0.1, 0.5]))
    merged = each(weighted_mean(scores, [1, 3, 7], np.array([0, 0, 1])))
    assert (merged[0].success_rate, merged[0].round_trip_score) == (0.25, 0.5)
    assert math.isclose(merged[0].score, 0.3)
    assert merged[1] == Score(0.5, 0.5, 0.5)
