"""Arrays that grow at one end and are forgotten at the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

# Items that there is room for at least.
_LEAST_ROOM = 1024


class SlidingArrays:
    """Arrays of the same length, the first one rising, that grow at the end and are forgotten at the beginning."""

    def __init__(self, *kinds: DTypeLike) -> None:
        self._arrays: list[NDArray[Any]] = [np.empty(0, kind) for kind in kinds]
        self._first = self._last = 0

    @property
    def room(self) -> int:
        """How many items the arrays could hold."""
        return len(self._arrays[0])

    def arrays(self) -> list[NDArray[Any]]:
        """What is held. Views that hold until something is replaced."""
        return [array[self._first : self._last] for array in self._arrays]

    def replace(self, since: int, arrays: Sequence[NDArray[Any]]) -> None:
        """Have other items where the first array is at `since` or above."""
        self._last = self._first + int(self.arrays()[0].searchsorted(since))
        number = len(arrays[0])
        if self._last + number > self.room:
            self._move(self._last - self._first + number)
        for array, new in zip(self._arrays, arrays, strict=True):
            array[self._last : self._last + number] = new
        self._last += number

    def forget_before(self, since: int) -> None:
        """Forget the items where the first array is below `since`."""
        self._first += int(self.arrays()[0].searchsorted(since))
        held = self._last - self._first
        if self.room > 4 * held + _LEAST_ROOM:
            self._move(held)

    def _move(self, number: int) -> None:
        """To arrays with room for so many, and a quarter more."""
        room = max(_LEAST_ROOM, number * 5 // 4)
        moved = self.arrays()
        self._first, self._last = 0, len(moved[0])
        for place, array in enumerate(moved):
            self._arrays[place] = np.empty(room, array.dtype)
            self._arrays[place][: self._last] = array
