"""Arrays that grow at the end and shrink at the beginning."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_MIN_CAPACITY = 1024


class SlidingArrays:
    """Arrays of equal length in the last dimension, the first one ascending, with spare capacity at the end."""

    def __init__(self, *kinds: DTypeLike, rows: int = 0) -> None:
        """One array of shape (n,) for each of `kinds`; with `rows`, one more of doubles of shape (rows, n)."""
        self._arrays: list[NDArray[Any]] = [np.empty(0, kind) for kind in kinds]
        if rows:
            self._arrays.append(np.empty((rows, 0)))
        self._first = self._last = 0

    @property
    def capacity(self) -> int:
        """The number of items that fit without a new allocation."""
        return len(self._arrays[0])

    def arrays(self) -> list[NDArray[Any]]:
        """The items, as views that are valid until the next change."""
        return [array[..., self._first : self._last] for array in self._arrays]

    def replace(self, since: int, arrays: Sequence[NDArray[Any]]) -> None:
        """Replace the items whose first value is at least `since`."""
        self._last = self._first + int(self.arrays()[0].searchsorted(since))
        number = len(arrays[0])
        if self._last + number > self.capacity:
            self._reallocate(self._last - self._first + number)
        for array, new in zip(self._arrays, arrays, strict=True):
            array[..., self._last : self._last + number] = new
        self._last += number

    def drop_before(self, since: int) -> None:
        """Remove the items whose first value is below `since`."""
        self._first += int(self.arrays()[0].searchsorted(since))
        remaining = self._last - self._first
        if self.capacity > 4 * remaining + _MIN_CAPACITY:
            self._reallocate(remaining)

    def _reallocate(self, number: int) -> None:
        """Move the items to arrays with room for a number of items and a quarter more."""
        capacity = max(_MIN_CAPACITY, number * 5 // 4)
        moved = self.arrays()
        self._first, self._last = 0, len(moved[0])
        for index, array in enumerate(moved):
            self._arrays[index] = np.empty((*array.shape[:-1], capacity), array.dtype)
            self._arrays[index][..., : self._last] = array
