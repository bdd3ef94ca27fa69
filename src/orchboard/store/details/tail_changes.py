"""Which results of the live tail have changed, so that what was computed of earlier ones is used again."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Changes that are remembered; anything may have changed since an earlier one.
_MAX_CHANGES = 512

EVERYTHING = 2**62


class TailChanges:
    """The changes of a tail. version -- their number"""

    def __init__(self) -> None:
        self.version = 0
        self._since: deque[int] = deque(maxlen=_MAX_CHANGES)

    def note(self, before: Sequence[NDArray[Any]], after: Sequence[NDArray[Any]]) -> None:
        """Note what a refresh has replaced: arrays of equal length in the last dimension, receipt times first, ascending."""
        since = _first_difference(before, after)
        if since is not None:
            self.version += 1
            self._since.append(since)

    def unchanged_before(self, version: int) -> int:
        """The receipt time before which no result has changed since a version, in microseconds since 2000; EVERYTHING if none has.

        >>> changes = TailChanges()
        >>> changes.note([np.array([1, 2, 3])], [np.array([1, 2, 4, 5])])
        >>> changes.unchanged_before(0), changes.unchanged_before(1) == EVERYTHING
        (3, True)
        """
        number = self.version - version
        if number > len(self._since):
            return -EVERYTHING
        return min(list(self._since)[len(self._since) - number :], default=EVERYTHING)


def _first_difference(before: Sequence[NDArray[Any]], after: Sequence[NDArray[Any]]) -> int | None:
    """The earlier of the receipt times of the first results that differ; None if all are equal."""
    number = min(len(before[0]), len(after[0]))
    differs = np.zeros(number, np.bool_)
    for one, other in zip(before, after, strict=True):
        unequal = one[..., :number] != other[..., :number]
        differs |= unequal if unequal.ndim == 1 else unequal.any(axis=0)
    first = int(np.argmax(differs)) if differs.any() else number
    times = [int(each[0][first]) for each in (before, after) if first < len(each[0])]
    return min(times, default=None)
