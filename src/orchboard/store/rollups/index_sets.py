"""Sets of indices as arrays: np.unique and np.isin for indices below a known bound, without a sort and without numpy.ma."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Indices: TypeAlias = NDArray[np.int64]
"""Each at least 0 and less than the bound."""


def mask(indices: Indices | Sequence[int], bound: int) -> NDArray[np.bool_]:
    """True at each of the indices; shape (bound,)."""
    marks = np.zeros(bound, np.bool_)
    marks[np.asarray(indices, np.int64)] = True
    return marks


def unique_sorted(indices: Indices, bound: int) -> Indices:
    """The distinct indices, ascending."""
    return np.flatnonzero(mask(indices, bound))


def unique_inverse(indices: Indices, bound: int) -> tuple[Indices, Indices]:
    """The distinct indices, ascending, and the position in them of each of `indices`."""
    marks = mask(indices, bound)
    return np.flatnonzero(marks), (np.cumsum(marks) - 1)[indices]
