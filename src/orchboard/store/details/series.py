"""Series: what results are grouped by, with an index from 0 on in this process."""

from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np

from orchboard.stats import Series
from orchboard.store.rollups.group_index import Indices

K = TypeVar("K", bound=Hashable)


class SeriesIndex:
    """Every series seen so far. Series are only added; `all[i]` has index i."""

    def __init__(self) -> None:
        self.all: list[Series] = []
        self._index: dict[Series, int] = {}

    def __len__(self) -> int:
        return len(self.all)

    def of(self, series: Series) -> int:
        """The index of a series; a new one if it was not seen before."""
        index = self._index.setdefault(series, len(self.all))
        if index == len(self.all):
            self.all.append(series)
        return index

    def grouped(self, series: Indices, key: Callable[[Series], K]) -> tuple[list[K], Indices]:
        """The distinct keys of some series, sorted, and the position in them of each series.

            >>> from orchboard.stats import JobType
        >>> index = SeriesIndex()
            >>> a, b = (index.of(Series(name, "FRA", JobType.AI, "p", "m", "")) for name in "ba")
            >>> keys, positions = index.grouped(np.array([a, b, a]), lambda series: series.orchestrator)
            >>> keys, positions.tolist()
            (['a', 'b'], [1, 0, 1])
        """
        present = np.unique(series)
        keys = [key(self.all[each]) for each in present.tolist()]
        distinct = sorted(set(keys))  # type: ignore[type-var]
        numbers = {each: number for number, each in enumerate(distinct)}
        positions = np.zeros(len(self.all), np.int64)
        positions[present] = [numbers[each] for each in keys]
        return distinct, positions[series]
