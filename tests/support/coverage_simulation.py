"""How often the 95 % interval of a score contains the score that very many results would give, by simulation.

`python -m tests.support.coverage_simulation` prints the tables of docs/confidence.md.
"""

import zlib
from itertools import product

import numpy as np
from msgspec import Struct

from orchboard.analytics.estimates import Estimates, GroupStatistics, Sensitivity, by_run, estimate
from orchboard.scoring import Doubles
from orchboard.stats import JobType
from orchboard.store.details.sums import MOMENTS

MEDIAN_S, SEGMENT_S = 3.0, 2.0
FAST_S, SLOW_S = 0.3, 30.0


class Scenario(Struct, frozen=True):
    """Results of one orchestrator.

    groups -- regions, each with `results` results; for AI of one model
    success -- probability of full success
    spread -- standard deviation of the logarithm of round trips, whose median is 3 s
    failures -- the round trip of failed jobs: as of others, `fast` (0.3 s) or `slow` (30 s)
    is_partial -- whether a failed job succeeds in part
    """

    job_type: JobType
    groups: int
    results: int
    success: float
    spread: float = 0.5
    failures: str = "same"
    is_partial: bool = False


def simulate(scenario: Scenario, orchestrators: int) -> tuple[Estimates, float]:
    """The estimates of many such orchestrators, and the score that very many results would give. Always the same."""
    chance = np.random.default_rng(zlib.crc32(repr(scenario).encode()))
    shape = orchestrators * scenario.groups, scenario.results
    is_success = chance.random(shape) < scenario.success
    success_rate = np.where(is_success, 1.0, chance.random(shape) * scenario.is_partial)
    round_trip = MEDIAN_S * np.exp(chance.normal(0, scenario.spread, shape))
    usual = MEDIAN_S * np.exp(scenario.spread**2 / 2)
    of_failure = {"same": usual, "fast": FAST_S, "slow": SLOW_S}[scenario.failures]
    if scenario.failures != "same":
        round_trip = np.where(is_success, round_trip, of_failure)
    measures = np.array([success_rate, np.full(shape, SEGMENT_S), round_trip])
    estimates = _estimate(scenario, measures)
    expected = (
        scenario.success + (1 - scenario.success) * 0.5 * scenario.is_partial,
        SEGMENT_S,
        scenario.success * usual + (1 - scenario.success) * of_failure,
    )
    limit = _statistics(scenario, np.array(expected)[:, None, None]).score().score
    return estimates, float(limit[0])


def _statistics(scenario: Scenario, measures: Doubles) -> GroupStatistics:
    """measures -- shape (measures, groups, results)"""
    _, groups, results = measures.shape
    means = measures.mean(axis=2)
    distances = measures - means[:, :, None]
    return GroupStatistics(
        scenario.job_type,
        np.arange(groups) // scenario.groups,
        np.full(groups, float(results)),
        means,
        np.array([(distances[one] * distances[other]).sum(axis=1) for one, other in MOMENTS]),
        np.full(groups, MEDIAN_S if scenario.job_type is JobType.AI else 0.0),
    )


def _estimate(scenario: Scenario, measures: Doubles) -> Estimates:
    groups = measures.shape[1]
    weights = np.full(groups, 1 / scenario.groups)
    runs = by_run(np.arange(0, groups, scenario.groups))
    return estimate(Sensitivity(_statistics(scenario, measures)), weights, runs)


def coverage(scenario: Scenario, orchestrators: int = 2000) -> float:
    """The share of intervals of the score that contain it."""
    estimates, score = simulate(scenario, orchestrators)
    return float(np.mean((estimates.score_low <= score) & (score <= estimates.score_high)))


if __name__ == "__main__":
    columns = list(product(("same", "fast", "slow"), (0.6, 0.9, 0.98)))
    for job_type in JobType:
        print(f"\n{job_type} | " + " | ".join(f"{failures} {success}" for failures, success in columns))
        print("--- | " + " | ".join("---" for _ in columns))
        for groups, results in (
            (1, 5),
            (1, 10),
            (1, 30),
            (1, 100),
            (1, 300),
            (5, 6),
            (5, 24),
            (26, 12),
            (26, 100),
        ):
            scenarios = (
                Scenario(job_type, groups, results, success, 0.5, failures) for failures, success in columns
            )
            print(
                f"{groups} × {results} | " + " | ".join(f"{100 * coverage(each):.0f}" for each in scenarios)
            )
