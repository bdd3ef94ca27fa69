"""Pairs of an orchestrator and a region, and indices of keys, as columns of numbers instead of tuples and dicts."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

Pair: TypeAlias = tuple[str, str]
"""An orchestrator in lower case and a region code."""


class KeyIndex:
    """Distinct integers, each with an index from 0 on without gaps, in 20 bytes each. Keys are only added."""

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
        numbers = np.arange(len(self._keys), len(self._keys) + len(new), dtype=np.int32)
        joined = np.concatenate([self._sorted, new])
        order = np.argsort(
            joined, kind="stable"
        )  # merges two sorted runs, in a tenth of the time of np.insert
        self._sorted = joined[order]
        self._index = np.concatenate([self._index, numbers])[order]
        self._keys = np.concatenate([self._keys, new])


class Names:
    """Distinct names, with numbers from 0 on. Names are only added."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._numbers: dict[str, int] = {}
        self._marks: dict[Callable[[str], bool], NDArray[np.bool_]] = {}
        self._ranks: NDArray[np.int64] = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.all)

    def number(self, name: str) -> int:
        """The number of a name; a new one if it was not seen before."""
        number = self._numbers.setdefault(name, len(self.all))
        if number == len(self.all):
            self.all.append(name)
        return number

    def find(self, name: str) -> int:
        """The number of a name; -1 if it was not seen before."""
        return self._numbers.get(name, -1)

    def where(self, test: Callable[[str], bool]) -> NDArray[np.bool_]:
        """Which names pass a test. test -- a function of a module: its marks are kept, and each name is tested once"""
        marks = self._marks.get(test, np.zeros(0, np.bool_))
        if len(marks) < len(self.all):
            new = [test(name) for name in self.all[len(marks) :]]
            marks = self._marks[test] = np.concatenate([marks, np.array(new, np.bool_)])
        return marks

    def ranks(self) -> NDArray[np.int64]:
        """The position of each name in alphabetical order."""
        if len(self._ranks) < len(self.all):
            order = sorted(range(len(self.all)), key=self.all.__getitem__)
            self._ranks = np.empty(len(order), np.int64)
            self._ranks[order] = np.arange(len(order))
        return self._ranks


class Pairs(Sequence[Pair]):
    """Pairs as columns.

    names, codes -- of all orchestrators and regions that were seen; orchestrator, region -- numbers of each pair in them
    """

    def __init__(
        self, names: Names, codes: Names, orchestrator: NDArray[np.integer], region: NDArray[np.integer]
    ) -> None:
        self.names = names
        self.codes = codes
        self.orchestrator = orchestrator
        self.region = region

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> "Pairs":
        """Columns of some pairs, in their order."""
        names, codes = Names(), Names()
        numbers = [(names.number(name), codes.number(code)) for name, code in pairs]
        orchestrator, region = np.array(numbers, np.int32).reshape(-1, 2).T
        return cls(names, codes, orchestrator, region)

    def __len__(self) -> int:
        return len(self.orchestrator)

    @overload
    def __getitem__(self, at: int) -> Pair: ...
    @overload
    def __getitem__(self, at: slice) -> "Pairs": ...
    def __getitem__(self, at: int | slice) -> "Pair | Pairs":
        """A pair, or the pairs of a slice."""
        if isinstance(at, slice):
            return Pairs(self.names, self.codes, self.orchestrator[at], self.region[at])
        return self.names.all[self.orchestrator[at]], self.codes.all[self.region[at]]

    def __iter__(self) -> Iterator[Pair]:
        names = map(self.names.all.__getitem__, self.orchestrator.tolist())
        return zip(names, map(self.codes.all.__getitem__, self.region.tolist()), strict=True)

    @property
    def size(self) -> int:
        """Bytes of the arrays."""
        return self.orchestrator.nbytes + self.region.nbytes

    def select(self, selected: NDArray[np.integer] | NDArray[np.bool_]) -> "Pairs":
        """Some pairs, by position or by a mask."""
        return Pairs(self.names, self.codes, self.orchestrator[selected], self.region[selected])

    def ranks(self) -> NDArray[np.int64]:
        """A number for each pair, of which the order is that of the pairs."""
        of_names, of_codes = self.names.ranks(), self.codes.ranks()
        ranks: NDArray[np.int64] = of_names[self.orchestrator] * len(of_codes) + of_codes[self.region]
        return ranks

    def where(self, test: Callable[[str], bool]) -> NDArray[np.bool_]:
        """A mask: the pairs whose orchestrator passes a test. test -- see Names"""
        mask: NDArray[np.bool_] = self.names.where(test)[self.orchestrator]
        return mask

    def runs(self) -> list[int]:
        """Where the pairs of another orchestrator begin, and the number of pairs; of sorted pairs."""
        starts = np.flatnonzero(self.orchestrator[1:] != self.orchestrator[:-1]) + 1
        return [0, *starts.tolist(), len(self)] if len(self) else [0]

    def nested(self, values: Sequence[T]) -> dict[str, dict[str, T]]:
        """{orchestrator: {region: value}} of sorted pairs. values -- of each pair"""
        names, codes = self.names.all, map(self.codes.all.__getitem__, self.region.tolist())
        nested: dict[str, dict[str, T]] = {}
        of_owner: dict[str, T] = {}
        last = -1
        for owner, code, value in zip(self.orchestrator.tolist(), codes, values, strict=True):
            if owner != last:
                last, of_owner = owner, nested.setdefault(names[owner], {})
            of_owner[code] = value
        return nested

    def packed(self) -> Iterator[bytes]:
        """Bytes that are equal for equal sorted pairs only, in any process."""
        edges = self.runs()
        codes = sorted({self.codes.all[each] for each in np.flatnonzero(np.bincount(self.region)).tolist()})
        position = np.zeros(len(self.codes), np.int32)
        position[[self.codes.find(code) for code in codes]] = np.arange(len(codes))
        owners = [self.names.all[each] for each in self.orchestrator[edges[:-1]].tolist()]
        yield "\0".join([*owners, "", *codes, ""]).encode()
        yield np.array(edges, np.int64).tobytes()
        yield position[self.region].tobytes()
