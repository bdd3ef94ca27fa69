"""Fisher's exact test of two proportions, over several strata, and the normal distribution's tails."""

import math
from collections.abc import Sequence

import numpy as np

from orchboard.scoring import Doubles


def exact_chance(
    results: Sequence[float] | Doubles,
    successes: Sequence[float] | Doubles,
    other_results: Sequence[float] | Doubles,
    other_successes: Sequence[float] | Doubles,
) -> float:
    """The two-sided probability that chance alone makes a tester's successes differ as much from the others'.

    Fisher's exact test, stratified: given the totals of each stratum, a tester's successes are hypergeometric. Twice the smaller
    tail, at most 1.

    >>> round(exact_chance([10], [3], [10], [9]), 6)
    0.019767
    """
    pmf = np.ones(1)
    lowest = 0
    for n, k, m, j in zip(results, successes, other_results, other_successes, strict=True):
        total = int(k + j)
        least = max(0, total - int(m))
        pmf = np.convolve(pmf, _hypergeometric(int(n), int(m), total))
        lowest += least
    observed = int(np.sum(successes)) - lowest
    tail = min(float(pmf[: observed + 1].sum()), float(pmf[observed:].sum()))
    return min(2 * tail, 1.0)


def _hypergeometric(n: int, m: int, total: int) -> Doubles:
    """Probabilities of max(0, total - m) to min(n, total) successes among n of n + m results with `total` successes."""
    values = np.arange(max(0, total - m), min(n, total) + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + m + 1)))])
    logs = (
        log_factorial[n]
        - log_factorial[values]
        - log_factorial[n - values]
        + log_factorial[m]
        - log_factorial[total - values]
        - log_factorial[m - total + values]
        - log_factorial[n + m]
        + log_factorial[total]
        + log_factorial[n + m - total]
    )
    probabilities: Doubles = np.exp(logs)
    return probabilities


def two_sided(z: float) -> float:
    """The probability of a normal distance of at least z standard deviations.

    >>> round(two_sided(1.959963984540054), 12)
    0.05
    """
    return math.erfc(z / math.sqrt(2))
