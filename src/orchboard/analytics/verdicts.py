"""Testers whose verdicts on an orchestrator differ from the others' beyond chance. Pure; method: docs/coverage.md."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from msgspec import Struct

from orchboard.analytics.exact_test import exact_chance, two_sided
from orchboard.analytics.rank_test import rank_chance
from orchboard.analytics.strata import ComparisonTest, Strata, Verdicts, stratify, success_test, time_test
from orchboard.scoring import Doubles
from orchboard.store.details.details import Details
from orchboard.store.details.series_keys import SeriesKey, job_of, orchestrator_of, region_of, tester_of
from orchboard.store.rollups.group_index import Indices

ALPHA = 0.001
"""The probability that an answer names any tester although all differences are chance."""

MIN_DIFFERENCE = 0.05
MIN_RATIO, MIN_RATIO_BETWEEN_REGIONS = 1.5, 3.0
"""Smaller differences of success rates, and smaller ratios of round trips, are never named, however sure."""

MIN_SECONDS_BETWEEN_REGIONS = 2.0
"""Smaller differences of round trips between regions are never named: distance explains them.

A network round trip half around the Earth takes 0.3 s, and a job takes several.
"""

MIN_OTHERS = 2
"""With fewer other testers it can't be said who differs."""

_MEDIAN_OF_CHI_SQUARE = 0.454936423119572
_TESTERS_FOR_A_SCALE = 5

# Results up to which the exact test is made: its time grows with their square, and with more the normal distribution will do.
_MAX_EXACT = 5_000


class Difference(Struct, frozen=True):
    """A tester that differs from the others on one orchestrator.

    is_success -- whether in success rates; otherwise in round trips
    own, others -- the two success rates, or geometric mean round trips in seconds, of the same models
    results, other_results -- how many these are over
    chance -- at most the probability that chance makes any tester of the answer differ as much
    in_region -- whether compared within regions only
    """

    tester: int
    orchestrator: int
    is_success: bool
    own: float
    others: float
    results: int
    other_results: int
    chance: float
    in_region: bool


class TesterComparison(Struct, frozen=True):
    """Testers compared with one another.

    compared -- on how many orchestrators each tester was compared with others; shape (testers,)
    """

    differences: list[Difference]
    compared: Indices


def verdicts_of(details: Details) -> Verdicts:
    """The scored results of all series of some details."""
    sums = details.sums
    keys: tuple[SeriesKey[Any], ...] = tester_of, orchestrator_of, job_of, region_of
    entries = np.flatnonzero(sums.results)
    is_timed = sums.round_trips > 0
    round_trips = sums.round_trips[is_timed]
    logs = np.log(round_trips)
    whose, size = sums.round_trip_entries[is_timed], len(sums.series)
    values = np.array(
        [
            sums.results,
            sums.successes,
            np.bincount(whose, minlength=size),
            np.bincount(whose, logs, size),
            np.bincount(whose, logs**2, size),
        ],
        np.float64,
    )
    tester, orchestrator, job, region = (details.index.column(key).of(sums.series[entries]) for key in keys)
    position = np.cumsum(sums.results > 0) - 1
    return Verdicts(tester, orchestrator, job, region, values[:, entries], round_trips, position[whose])


def compare_verdicts(verdicts: Verdicts) -> TesterComparison:
    """Find the testers that differ.

    On each orchestrator, the tester that differs most is set aside and the others are compared again, so that nobody differs from
    a mean that one tester spoils.
    """
    strata = stratify(verdicts, MIN_OTHERS)
    tests = success_test(strata), time_test(strata)
    comparisons = max(sum(int((test.variance > 0).sum()) for test in tests), 1)
    scales = _scales(verdicts, strata, tests)
    suspicious: set[int] = set()
    for test, scale in zip(tests, scales, strict=True):
        is_far = scale.z(test, strata.orchestrators) > _least_z(comparisons)
        suspicious |= set(strata.orchestrators[is_far].tolist())
    found: list[Difference] = []
    for orchestrator in sorted(suspicious):
        found += _peel(verdicts.select(verdicts.orchestrator == orchestrator), scales, comparisons)
    testers = int(verdicts.tester.max(initial=-1)) + 1
    return TesterComparison(found, np.bincount(strata.testers, minlength=testers))


@lru_cache(maxsize=64)
def _least_z(comparisons: int) -> float:
    """A distance that is certainly chance if it is not exceeded."""
    low, high = 0.0, 40.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided(middle) * comparisons >= ALPHA else (low, middle)
    return low


class _Scale(Struct, frozen=True):
    """How much more than by chance testers differ usually: a factor of the variance, at least 1.

    of_all -- over all orchestrators
    orchestrators, factors -- those that enough testers test, ascending, and their factors
    """

    of_all: float
    orchestrators: Indices
    factors: Doubles

    def z(self, test: ComparisonTest, orchestrators: Indices) -> Doubles:
        """The distances of a test in standard deviations that are usual. orchestrators -- of each"""
        factor = np.full(int(orchestrators.max(initial=-1)) + 1, self.of_all)
        known = self.orchestrators < len(factor)
        factor[self.orchestrators[known]] = np.maximum(self.factors[known], self.of_all)
        distances: Doubles = test.z / np.sqrt(factor[orchestrators])
        return distances


def _scales(
    verdicts: Verdicts, strata: Strata, tests: tuple[ComparisonTest, ComparisonTest]
) -> tuple[_Scale, _Scale]:
    """The usual differences of success rates and of round trips, without the tester that differs most on each orchestrator."""
    size = int(verdicts.tester.max(initial=0)) + 1
    order = np.lexsort((-np.maximum(tests[0].z, tests[1].z), strata.orchestrators))
    _, first = np.unique(strata.orchestrators[order], return_index=True)
    furthest = order[first]
    left_out = strata.orchestrators[furthest] * size + strata.testers[furthest]
    rest = stratify(verdicts.select(~np.isin(verdicts.orchestrator * size + verdicts.tester, left_out)), 1)
    return _scale(rest, success_test(rest)), _scale(rest, time_test(rest))


def _scale(strata: Strata, test: ComparisonTest) -> _Scale:
    """By the median of the squares, which a few testers can't move (genomic control, Devlin and Roeder 1999)."""
    testable = test.variance > 0
    squares, whose = test.z[testable] ** 2, strata.orchestrators[testable]
    if not len(squares):
        return _Scale(1.0, np.zeros(0, np.int64), np.zeros(0))
    order = np.lexsort((squares, whose))
    keys, start, count = np.unique(whose[order], return_index=True, return_counts=True)
    factors = squares[order][start + count // 2] / _MEDIAN_OF_CHI_SQUARE
    enough = count >= _TESTERS_FOR_A_SCALE
    of_all = max(float(np.median(squares)) / _MEDIAN_OF_CHI_SQUARE, 1.0)
    return _Scale(of_all, keys[enough], factors[enough])


def _peel(verdicts: Verdicts, scales: tuple[_Scale, _Scale], comparisons: int) -> list[Difference]:
    """The differences on one orchestrator, the largest first."""
    found: list[Difference] = []
    while (most := _find_largest(verdicts, scales, comparisons)) is not None:
        found.append(most)
        verdicts = verdicts.select(verdicts.tester != most.tester)
    return found


def _find_largest(verdicts: Verdicts, scales: tuple[_Scale, _Scale], comparisons: int) -> Difference | None:
    strata = stratify(verdicts, MIN_OTHERS)
    tests = success_test(strata), time_test(strata)
    distances = [scale.z(test, strata.orchestrators) for test, scale in zip(tests, scales, strict=True)]
    z = np.concatenate(distances)
    least = _least_z(comparisons)
    for at in np.argsort(-z, kind="stable").tolist():
        if z[at] <= least:
            break
        is_time, comparison = divmod(at, len(strata.testers))
        found = _difference(verdicts, strata, comparison, not is_time, two_sided(float(z[at])), comparisons)
        if found is not None:
            return found
    return None


def _difference(
    verdicts: Verdicts, strata: Strata, comparison: int, is_success: bool, p: float, comparisons: int
) -> Difference | None:
    """The difference of one comparison; None if it is small, or chance by a second test. p -- by the first test"""
    chosen = strata.comparison == comparison
    number = 0 if is_success else 2
    own, others = (each[number : number + 2, chosen] for each in (strata.own, strata.others))
    in_region = bool(strata.in_region[chosen].all())
    rates = _means(own, others)
    if not is_success:
        rates = math.exp(rates[0]), math.exp(rates[1])
    if not _is_large(rates, is_success, in_region):
        return None
    if not is_success:
        p = max(p, rank_chance(verdicts, strata, comparison))
    elif own[0].sum() + others[0].sum() <= _MAX_EXACT:
        p = max(p, exact_chance(*own, *others))
    chance = p * comparisons
    if chance >= ALPHA:
        return None
    return Difference(
        int(strata.testers[comparison]),
        int(strata.orchestrators[comparison]),
        is_success,
        *rates,
        int(own[0].sum()),
        int(others[0].sum()),
        chance,
        in_region,
    )


def _is_large(rates: tuple[float, float], is_success: bool, in_region: bool) -> bool:
    """Whether a difference of success rates, or of round trips in seconds, is large enough to be named."""
    low, high = sorted(rates)
    if is_success:
        return high - low >= MIN_DIFFERENCE
    if in_region:
        return high >= MIN_RATIO * low
    return high >= MIN_RATIO_BETWEEN_REGIONS * low and high - low >= MIN_SECONDS_BETWEEN_REGIONS


def _means(own: Doubles, others: Doubles) -> tuple[float, float]:
    """The tester's mean, and that of the others, weighted over strata as the tester's. own, others -- numbers and totals"""
    (number, total), (other_number, other_total) = own, others
    both = (number > 0) & (other_number > 0)
    weights = number[both]
    expected = (other_total[both] / other_number[both] * weights).sum()
    return float(total[both].sum() / weights.sum()), float(expected / weights.sum())
