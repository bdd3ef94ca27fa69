"""95 % confidence intervals on arrays: Wilson's for rates, Student's quantile for means of few results."""

import numpy as np
from numpy.typing import ArrayLike

from orchboard.scoring import Doubles

Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""

_T_OF_1_AND_2 = (12.706204736174694, 4.302652729749462)


def wilson(rate: ArrayLike, results: ArrayLike) -> tuple[Doubles, Doubles]:
    """Wilson's score interval of a rate, as its lower and upper end.

    It has a width even if all results are equal, and stays within 0 to 1.

    rate -- 0 to 1; results -- how many it is over, above 0; an effective number need not be whole

    >>> [ends.round(4).tolist() for ends in wilson([0.5, 1.0], [10, 10])]
    [[0.2366, 0.7225], [0.7634, 1.0]]
    """
    share, number = np.asarray(rate, float), np.asarray(results, float)
    added = Z * Z / number
    center = (share + added / 2) / (1 + added)
    half = Z * np.sqrt(share * (1 - share) / number + added / (4 * number)) / (1 + added)
    low, high = np.clip(center - half, 0.0, 1.0), np.clip(center + half, 0.0, 1.0)
    return np.where(share <= 0, 0.0, low), np.where(share >= 1, 1.0, high)


def student_quantile(degrees: ArrayLike) -> Doubles:
    """The 97.5 % quantile of Student's t distribution, to 0.2 % of its value.

    degrees -- of freedom, at least 1, need not be whole; infinite: the normal distribution

    Exact at 1 and 2, interpolated up to 3, then the expansion 26.7.5 of Abramowitz and Stegun.

    >>> student_quantile([1, 2, 3, 10, np.inf]).round(2).tolist()
    [12.71, 4.3, 3.18, 2.23, 1.96]
    """
    number = np.maximum(np.asarray(degrees, float), 1.0)
    inverse = 1 / np.maximum(number, 3.0)
    terms = (
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
        (79 * Z**9 + 776 * Z**7 + 1482 * Z**5 - 1920 * Z**3 - 945 * Z) / 92160,
    )
    expanded = Z + sum(term * inverse**power for power, term in enumerate(terms, 1))
    few = np.exp(np.interp(number, [1, 2, 3], np.log([*_T_OF_1_AND_2, 3.182])))
    quantile: Doubles = np.where(number < 3, few, expanded)
    return quantile
