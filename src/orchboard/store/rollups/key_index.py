"""An index from integer keys to numbers from 0 on, in arrays: 20 bytes a key, where a dict takes 110."""

import numpy as np
from numpy.typing import NDArray


class KeyIndex:
    """Distinct integers, each with an index from 0 on without gaps. Keys are only added."""

    def __init__(self) -> None:
        self._keys = np.zeros(0, np.int64)  # by index
        self._sorted = np.zeros(0, np.int64)
        self._index = np.zeros(0, np.int32)  # of each of _sorted

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def keys(self) -> NDArray[np.int64]:
        """The key of each index."""
        return self._keys

    def indices_of(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The index of each key; new ones for those that were not seen before, in ascending order.

        >>> index = KeyIndex()
        >>> [index.indices_of(np.array(keys)).tolist() for keys in ([7, 3, 7], [5, 3])]
        [[1, 0, 1], [2, 0]]
        """
        position = self._sorted.searchsorted(keys)
        known = position < len(self._sorted)
        known[known] = self._sorted[position[known]] == keys[known]
        if not known.all():
            self._add(keys[~known])
            position = self._sorted.searchsorted(keys)
        return self._index[position].astype(np.int64)

    def _add(self, keys: NDArray[np.int64]) -> None:
        new = np.sort(keys)
        distinct = np.ones(len(new), np.bool_)
        np.not_equal(new[1:], new[:-1], out=distinct[1:])
        new = new[distinct]
        at = self._sorted.searchsorted(new)
        numbers = np.arange(len(self._keys), len(self._keys) + len(new), dtype=np.int32)
        self._sorted = np.insert(self._sorted, at, new)
        self._index = np.insert(self._index, at, numbers)
        self._keys = np.concatenate([self._keys, new])
