"""Strata: the results of a tester beside those of others of the same jobs, and tests of their differences. Pure."""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from orchboard.scoring import Doubles
from orchboard.store.rollups.group_index import Indices, unique_inverse

_LEAST_VARIANCE = 1e-4
"""Of logarithms of round trips, which keeps equal ones from being infinitely sure."""

_MAX_MARKS = 2_000_000


class Verdicts(Struct, frozen=True):
    """Scored results by tester, orchestrator, model and region; each series once. Arrays of shape (series,).

    tester, orchestrator, model, region -- numbers from 0 on; a transcoding job is a model
    values -- shape (5, series): results, successes of them; the number of round trips, the sum of their logarithms and of the
        squares of these
    round_trips, round_trip_series -- seconds, > 0, in no order, and the series of each
    """

    tester: Indices
    orchestrator: Indices
    model: Indices
    region: Indices
    values: Doubles
    round_trips: Doubles
    round_trip_series: Indices

    def select(self, chosen: NDArray[np.bool_]) -> "Verdicts":
        """Some series."""
        position = np.cumsum(chosen) - 1
        kept = chosen[self.round_trip_series]
        return Verdicts(
            self.tester[chosen],
            self.orchestrator[chosen],
            self.model[chosen],
            self.region[chosen],
            self.values[:, chosen],
            self.round_trips[kept],
            position[self.round_trip_series[kept]],
        )


class Strata(Struct, frozen=True):
    """The results of a tester, and those of the others that they are compared with: of the same orchestrator and model, and of the
    same region if enough testers are in it. Arrays of shape (strata,) unless they say otherwise.

    comparison -- of a tester with the others on one orchestrator: an index in `testers` and `orchestrators`, which have shape
        (comparisons,)
    series -- of the tester and model, and of the region if compared within one
    in_region -- whether compared within one region
    own, others -- shape (5, strata), as Verdicts.values
    """

    testers: Indices
    orchestrators: Indices
    comparison: Indices
    series: Indices
    in_region: NDArray[np.bool_]
    own: Doubles
    others: Doubles

    def sum(self, values: Doubles) -> Doubles:
        """The sums over the strata of each comparison."""
        return _sum(self.comparison, values, len(self.testers))


class ComparisonTest(Struct, frozen=True):
    """By comparison: the difference from what chance makes expect, and its variance by chance, which is 0 when nothing can be tested."""

    excess: Doubles
    variance: Doubles

    @property
    def z(self) -> Doubles:
        """The distance in standard deviations; 0 when nothing can be tested."""
        spread = np.sqrt(self.variance)
        return np.divide(np.abs(self.excess), spread, out=np.zeros(len(spread)), where=spread > 0)


def success_test(strata: Strata) -> ComparisonTest:
    """The two-proportion test of success rates, over strata (Cochran, Mantel and Haenszel)."""
    (results, successes), (other_results, other_successes) = strata.own[:2], strata.others[:2]
    total, succeeded = results + other_results, successes + other_successes
    excess = successes - results * succeeded / total
    spread = succeeded * (total - succeeded) / (total**2 * np.maximum(total - 1, 1))
    return ComparisonTest(strata.sum(excess), strata.sum(results * other_results * spread))


def time_test(strata: Strata) -> ComparisonTest:
    """The test of mean logarithms of round trips, over strata that share one variance, which few results in a stratum can't show."""
    own, others = strata.own[2:], strata.others[2:]
    is_timed = (own[0] > 0) & (others[0] > 0)
    n, m = (np.where(is_timed, each[0], 1.0) for each in (own, others))
    squares = own[2] - own[1] ** 2 / n + others[2] - others[1] ** 2 / m
    freedom = strata.sum(np.where(is_timed, n + m - 2, 0.0))
    shared = strata.sum(np.where(is_timed, squares, 0.0)) / np.maximum(freedom, 1)
    weight = np.where(is_timed, n * m / (n + m), 0.0)
    excess = strata.sum(weight * (own[1] / n - others[1] / m))
    variance = np.where(freedom > 0, np.maximum(shared, _LEAST_VARIANCE), 0.0)
    return ComparisonTest(excess, variance * strata.sum(weight))


def stratify(verdicts: Verdicts, min_others: int) -> Strata:
    """The strata of all testers. min_others -- with fewer other testers, results are not compared"""
    jobs = verdicts.orchestrator * (verdicts.model.max(initial=0) + 1) + verdicts.model
    places = jobs * (verdicts.region.max(initial=0) + 1) + verdicts.region
    place, of_place = _totals(places, verdicts.values)
    in_region = np.bincount(place)[place] > min_others
    at, own, others = _between_regions(verdicts, jobs, ~in_region, min_others)
    within = np.flatnonzero(in_region)
    series = np.concatenate([within, at])
    testers = int(verdicts.tester.max(initial=0)) + 1
    comparisons, comparison = _distinct(verdicts.orchestrator[series] * testers + verdicts.tester[series])
    return Strata(
        comparisons % testers,
        comparisons // testers,
        comparison,
        series,
        np.arange(len(series)) < len(within),
        np.concatenate([verdicts.values[:, within], own], axis=1),
        np.concatenate([of_place[:, place[within]] - verdicts.values[:, within], others], axis=1),
    )


def _between_regions(
    verdicts: Verdicts, jobs: Indices, chosen: NDArray[np.bool_], min_others: int
) -> tuple[Indices, Doubles, Doubles]:
    """The chosen series of each tester and job, added up: one series of each; their values; those of all others from all regions."""
    testers = verdicts.tester.max(initial=0) + 1
    whose, of_tester = _totals(jobs * testers + verdicts.tester, verdicts.values)
    any_of = np.zeros(of_tester.shape[1], np.int64)
    any_of[whose] = np.arange(len(whose))
    job, of_job = _totals(jobs, verdicts.values)
    number_of_testers = np.bincount(job[any_of], minlength=of_job.shape[1])
    chosen = chosen & (number_of_testers[job] > min_others)
    present, position = _distinct(whose[chosen])
    own = _sum_rows(position, verdicts.values[:, chosen], len(present))
    at = any_of[present]
    return at, own, of_job[:, job[at]] - of_tester[:, present]


def _totals(keys: Indices, values: Doubles) -> tuple[Indices, Doubles]:
    """The position of each series among the distinct keys, and the sums over the series of each key."""
    distinct, position = _distinct(keys)
    return position, _sum_rows(position, values, len(distinct))


def _distinct(keys: Indices) -> tuple[Indices, Indices]:
    """The distinct keys, ascending, and the position in them of each; without sorting unless the keys are far apart."""
    bound = int(keys.max(initial=-1)) + 1
    if bound <= _MAX_MARKS:
        return unique_inverse(keys, bound)
    distinct, position = np.unique(keys, return_inverse=True)
    return distinct, position


def _sum_rows(whose: Indices, rows: Doubles, number: int) -> Doubles:
    totals: Doubles = np.array([_sum(whose, row, number) for row in rows], np.float64)
    return totals


def _sum(whose: Indices, values: Doubles, number: int) -> Doubles:
    return np.bincount(whose, values, number).astype(np.float64)
