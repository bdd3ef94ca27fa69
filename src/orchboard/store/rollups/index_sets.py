"""Sets of places in a list, as arrays: what np.unique and np.isin do, without a sort and without loading numpy.ma."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Places: TypeAlias = NDArray[np.int64]
"""Each at least 0 and less than the list's length."""


def marked(places: Places | Sequence[int], length: int) -> NDArray[np.bool_]:
    """Which places of a list are among these; shape (length,)."""
    marks = np.zeros(length, np.bool_)
    marks[np.asarray(places, np.int64)] = True
    return marks


def distinct(places: Places, length: int) -> Places:
    """These places of a list, each once, rising."""
    return np.flatnonzero(marked(places, length))


def ranked(places: Places, length: int) -> tuple[Places, Places]:
    """The same, and for each of `places` where it is among them."""
    marks = marked(places, length)
    return np.flatnonzero(marks), (np.cumsum(marks) - 1)[places]
