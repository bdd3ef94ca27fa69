"""Intervals contain the true value as often as they say."""

import numpy as np
import pytest

from orchboard.analytics.compare import difference
from orchboard.analytics.estimates import GroupStatistics, Sensitivity, by_owner, by_run, estimate
from orchboard.analytics.intervals import student_quantile, wilson
from orchboard.reports.leaderboard import Estimate, Standing
from orchboard.scoring import Doubles
from orchboard.stats import JobType
from tests.support.coverage_simulation import Scenario, coverage, simulate
from tests.support.leaderboard_oracle import plain_wilson

AI, TRANSCODING = JobType.AI, JobType.TRANSCODING

REALISTIC = [
    Scenario(AI, groups=1, results=30, success=0.6),
    Scenario(AI, groups=1, results=30, success=0.9),
    Scenario(AI, groups=1, results=100, success=0.98),
    Scenario(AI, groups=1, results=100, success=0.9, failures="fast"),
    Scenario(AI, groups=1, results=300, success=0.98, failures="slow"),
    Scenario(AI, groups=5, results=6, success=0.9),
    Scenario(AI, groups=5, results=24, success=0.9, failures="slow"),
    Scenario(AI, groups=26, results=12, success=0.98, failures="fast"),
    Scenario(TRANSCODING, groups=1, results=30, success=0.6, spread=0.3),
    Scenario(TRANSCODING, groups=1, results=30, success=0.9, spread=0.3),
    Scenario(TRANSCODING, groups=1, results=100, success=0.98, spread=0.3),
    Scenario(TRANSCODING, groups=1, results=100, success=0.9, spread=0.3, failures="slow"),
    Scenario(TRANSCODING, groups=1, results=100, success=0.9, spread=0.3, is_partial=True),
    Scenario(TRANSCODING, groups=5, results=6, success=0.9, spread=0.3),
    Scenario(TRANSCODING, groups=5, results=24, success=0.98, spread=0.3, is_partial=True),
    Scenario(TRANSCODING, groups=26, results=24, success=0.9, spread=0.3, failures="fast"),
]


@pytest.mark.parametrize("scenario", REALISTIC, ids=str)
def test_95_percent_of_the_intervals_contain_the_score_of_very_many_results(scenario: Scenario) -> None:
    assert 0.93 <= coverage(scenario) <= 0.97


@pytest.mark.parametrize("job_type", JobType)
def test_95_percent_of_the_intervals_contain_the_success_rate(job_type: JobType) -> None:
    scenario = Scenario(job_type, groups=5, results=24, success=0.9)
    found, _ = simulate(scenario, 2000)
    is_inside = (found.success_low <= scenario.success) & (scenario.success <= found.success_high)
    assert 0.93 <= is_inside.mean() <= 0.97


@pytest.mark.parametrize("job_type", JobType)
def test_5_percent_of_the_differences_between_equal_orchestrators_are_beyond_chance(
    job_type: JobType,
) -> None:
    found, _ = simulate(Scenario(job_type, groups=5, results=24, success=0.9, spread=0.3), 3000)
    scores = [
        Estimate(*ends)
        for ends in zip(
            found.score.tolist(), found.score_low.tolist(), found.score_high.tolist(), strict=True
        )
    ]
    one, other = Standing(orchestrator="0xa"), Standing(orchestrator="0xb")
    pairs = zip(scores[::2], scores[1::2], strict=True)
    beyond = [difference(one, score, other, against).is_beyond_chance for score, against in pairs]
    assert 0.03 <= np.mean(beyond) <= 0.07


def test_wilson_equals_the_textbook() -> None:
    for successes, results in [(0, 1), (1, 1), (0, 20), (15, 20), (20, 20), (999, 1000)]:
        low, high = wilson(successes / results, results)
        assert (float(low), float(high)) == pytest.approx(plain_wilson(successes, results), abs=1e-12)
    # Newcombe (1998), table I: 81 of 263, and 0 of 20.
    assert [round(float(end), 4) for end in wilson(81 / 263, 263)] == [0.2553, 0.3662]
    assert [round(float(end), 4) for end in wilson(0.0, 20)] == [0.0, 0.1611]


def test_student_quantile_equals_the_table() -> None:
    table = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 30: 2.042, 120: 1.980}
    found = student_quantile(list(table))
    assert found.tolist() == pytest.approx(list(table.values()), rel=2e-3)
    assert (np.diff(student_quantile(np.linspace(1, 50, 500))) < 0).all()


def statistics(job_type: JobType, rates: Doubles, round_trips: Doubles) -> GroupStatistics:
    """Of groups with one result each."""
    number = len(rates)
    means = np.array([rates, np.full(number, 2.0), round_trips])
    median = np.full(number, 3.0)
    return GroupStatistics(
        job_type, np.zeros(number, int), np.ones(number), means, np.zeros((6, number)), median
    )


@pytest.mark.parametrize("job_type", JobType)
def test_one_result_tells_little(job_type: JobType) -> None:
    found = estimate(
        Sensitivity(statistics(job_type, np.ones(1), np.ones(1))), np.ones(1), by_run(np.zeros(1, int))
    )
    assert (found.score_low[0], found.score_high[0]) == (0.0, 1.0)
    assert found.success_low[0] == pytest.approx(plain_wilson(1, 1)[0])


@pytest.mark.parametrize("success_rate", [0.0, 1.0])
def test_equal_results_do_not_make_certain(success_rate: float) -> None:
    found, _ = simulate(Scenario(AI, groups=1, results=30, success=success_rate, spread=0.0), 1)
    low, high = plain_wilson(round(30 * success_rate), 30)
    assert (found.success_low[0], found.success_high[0]) == pytest.approx((low, high))
    assert found.score_high[0] - found.score_low[0] >= 0.65 * (high - low) - 1e-12


def test_sums_of_runs_and_of_owners_are_equal() -> None:
    values = np.random.default_rng(1).random(7)
    by_runs, by_owners = by_run(np.array([0, 3, 4])), by_owner(np.array([0, 0, 0, 1, 2, 2, 2]), 3)
    assert by_runs(values) == pytest.approx(by_owners(values))
    assert by_run(np.zeros(0, int))(np.zeros(0)).tolist() == []
