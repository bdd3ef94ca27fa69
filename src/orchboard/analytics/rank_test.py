"""Wilcoxon's test of the ranks of round trips, over several strata."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from orchboard.analytics.exact_test import two_sided
from orchboard.analytics.strata import Strata, Verdicts
from orchboard.scoring import Doubles

Sample = tuple[Doubles, Doubles]
"""The round trips of a tester, and those of the others."""


def rank_chance(verdicts: Verdicts, strata: Strata, comparison: int) -> float:
    """At most the probability that chance alone makes the ranks of a tester's round trips differ as much from the others'.

    verdicts -- those that the strata are of
    """
    chosen = np.flatnonzero(strata.comparison == comparison).tolist()
    return two_sided(rank_distance(_sample(verdicts, strata, stratum) for stratum in chosen))


def rank_distance(samples: Iterable[Sample]) -> float:
    """The distance, in standard deviations, of a tester's ranks from those that chance makes expect.

    Wilcoxon's rank-sum test, stratified (van Elteren, 1960). Ranks make it independent of the distribution of round trips. Large
    distances are rarer than the normal distribution says, also with few round trips, so that it never makes them too sure.

    samples -- of each stratum; one without round trips of both is left out

    >>> round(rank_distance([(np.array([1.0]), np.array([2.0, 3.0, 4.0]))]), 3)
    1.342
    """
    excess = variance = 0.0
    for own, others in samples:
        n, m = len(own), len(others)
        others = np.sort(others)
        lower = (np.searchsorted(others, own, "left") + np.searchsorted(others, own, "right")).sum() / 2
        excess += (lower - n * m / 2) / (n + m + 1)
        variance += n * m / (12 * (n + m + 1))
    return abs(float(excess)) / math.sqrt(variance) if variance else 0.0


def _sample(verdicts: Verdicts, strata: Strata, stratum: int) -> Sample:
    series = strata.series[stratum]
    is_job = (verdicts.orchestrator == verdicts.orchestrator[series]) & (
        verdicts.model == verdicts.model[series]
    )
    is_tester = verdicts.tester == verdicts.tester[series]
    if strata.in_region[stratum]:
        is_job &= verdicts.region == verdicts.region[series]
        return _round_trips(verdicts, is_job & is_tester), _round_trips(verdicts, is_job & ~is_tester)
    own = is_job & is_tester
    own[strata.series[strata.in_region]] = False
    return _round_trips(verdicts, own), _round_trips(verdicts, is_job & ~is_tester)


def _round_trips(verdicts: Verdicts, series: NDArray[np.bool_]) -> Doubles:
    return verdicts.round_trips[series[verdicts.round_trip_series]]
