"""Series in this process: an index from 0 on for each, and what queries select of them. Columns of numbers, as there may be 300,000."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from orchboard.stats import JobType, PartQuery, Series, SeriesQuery
from orchboard.store.details.series_keys import (
    OrchestratorKey,
    SeriesKey,
    job_type_of,
    model_name_of,
    orchestrator_of,
    pipeline_of,
    region_of,
    tester_name_of,
)
from orchboard.store.details.sums import NETWORK
from orchboard.store.rollups.group_index import Indices, unique_inverse
from orchboard.store.rollups.pairs import KeyIndex, Names

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Hashable)

# A key has the number of an orchestrator above that of the kind.
_KIND_BITS = 24
_KIND = (1 << _KIND_BITS) - 1


class SeriesTable(Generic[T]):
    """Distinct series, each with an index from 0 on without gaps, in 20 bytes each. Series are only added.

    A series is an orchestrator and a kind: its region, and whatever else tells its series apart.

    orchestrators -- those seen so far; kinds -- those seen so far, which are few
    """

    def __init__(self) -> None:
        self.orchestrators = Names()
        self.kinds: list[T] = []
        self._kind_numbers: dict[T, int] = {}
        self._keys = KeyIndex()

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def orchestrator(self) -> Indices:
        """The number of the orchestrator of each series."""
        return self._keys.keys >> _KIND_BITS

    @property
    def kind(self) -> Indices:
        """The number of the kind of each series."""
        return self._keys.keys & _KIND

    def parts_of(self, series: Indices) -> tuple[Indices, Indices]:
        """The numbers of the orchestrator and of the kind of some series."""
        keys = self._keys.keys[series]
        return keys >> _KIND_BITS, keys & _KIND

    def kind_number(self, kind: T) -> int:
        """The number of a kind; a new one if it was not seen before."""
        number = self._kind_numbers.setdefault(kind, len(self.kinds))
        if number == len(self.kinds):
            self.kinds.append(kind)
        return number

    def indices_of(self, orchestrators: Indices, kinds: Indices) -> Indices:
        """The indices of series with some numbers of orchestrators and kinds; new ones for those not seen before."""
        return self._keys.indices_of(orchestrators << _KIND_BITS | kinds)


class SeriesColumn(Generic[K]):
    """A key of every series of an index. Grows with the index.

    keys -- the distinct keys, in the order in which they were seen
    """

    def __init__(self, index: "SeriesIndex", key: SeriesKey[K]) -> None:
        self.keys: list[K] = []
        self._index = index
        self._key = key
        self._numbers: dict[K, int] = {}
        self._of_part: Indices = np.zeros(0, np.int64)  # of each orchestrator, or of each kind
        self.extend()

    @property
    def number(self) -> Indices:
        """The position in `keys` of each series' key, shape (series,)."""
        return self._of_part[self._part]

    def of(self, series: Indices) -> Indices:
        """The position in `keys` of the key of each of some series."""
        orchestrator, kind = self._index.parts_of(series)
        return self._of_part[orchestrator if isinstance(self._key, OrchestratorKey) else kind]

    def extend(self) -> None:
        """Add the new series of the index."""
        first = len(self._of_part)
        if isinstance(self._key, OrchestratorKey):
            new = list(map(self._key.read, self._index.orchestrators.all[first:]))
        else:
            new = list(map(self._key.read, self._index.kinds[first:]))
        if new:
            numbers = np.array(list(map(self._number_of, new)), np.int64)
            self._of_part = np.concatenate([self._of_part, numbers])

    def positions(self, keys: Sequence[K]) -> Indices:
        """The position in some distinct keys of each series' key; -1 for others."""
        position = np.full(len(self.keys), -1)
        known = [(self._numbers[key], at) for at, key in enumerate(keys) if key in self._numbers]
        for number, at in known:
            position[number] = at
        return position[self._of_part][self._part]

    @property
    def _part(self) -> Indices:
        index = self._index
        return index.orchestrator if isinstance(self._key, OrchestratorKey) else index.kind

    def _number_of(self, key: K) -> int:
        number = self._numbers.setdefault(key, len(self.keys))
        if number == len(self.keys):
            self.keys.append(key)
        return number


class SeriesIndex(SeriesTable[Series]):
    """Every series seen so far. The kind of a series is that of the network, with which it has all but the orchestrator in common.

    derived -- what others compute of the index and keep with it
    """

    def __init__(self) -> None:
        super().__init__()
        self.derived: dict[Hashable, Any] = {}
        self._masked: tuple[SeriesQuery, int] | None = None
        self._mask: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._columns: dict[SeriesKey[Any], SeriesColumn[Any]] = {}

    def __getitem__(self, index: int) -> Series:
        """The series with an index."""
        [(orchestrator, kind)] = self.named(np.array([index]))
        return replace(kind, orchestrator=orchestrator)

    def named(self, series: Indices) -> Iterator[tuple[str, Series]]:
        """The orchestrator and the kind of each of some series."""
        orchestrators, kinds = self.parts_of(series)
        names = map(self.orchestrators.all.__getitem__, orchestrators.tolist())
        return zip(names, map(self.kinds.__getitem__, kinds.tolist()), strict=True)

    def of(self, series: Series) -> int:
        """The index of a series; a new one if it was not seen before."""
        kind = self.kind_number(replace(series, orchestrator=NETWORK))
        number = self.orchestrators.number(series.orchestrator)
        return int(self.indices_of(np.array([number]), np.array([kind]))[0])

    def mask(self, query: SeriesQuery) -> NDArray[np.bool_]:
        """Which of all series a query selects, shape (series,)."""
        asked = query, len(self)
        if asked != self._masked:  # not that of the bucket before
            self._masked, self._mask = asked, self._select(query)
        return self._mask

    def _select(self, query: SeriesQuery) -> NDArray[np.bool_]:
        selected = np.ones(len(self), np.bool_)
        if query.orchestrators is not None:
            selected &= self.column(orchestrator_of).positions(list(query.orchestrators)) >= 0
        if isinstance(query, PartQuery):
            selected &= np.array(query.names.contain(self.orchestrators.all), np.bool_)[self.orchestrator]
        for key, value in (
            (job_type_of, query.job_type),
            (region_of, query.region),
            (pipeline_of, query.pipeline),
            (model_name_of, query.model),
            (tester_name_of, query.tester),
        ):
            if value is not None:
                selected &= self._where(key, value)
        return selected

    def _where(self, key: SeriesKey[Any], value: JobType | str) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = self.column(key).positions([value]) >= 0
        return mask

    def pooled(self, series: Indices) -> Indices:
        """The network's series that each series belongs to."""
        _, kinds = self.parts_of(series)
        return self.indices_of(np.full(len(kinds), self.orchestrators.number(NETWORK)), kinds)

    def column(self, key: SeriesKey[K]) -> SeriesColumn[K]:
        """The keys of all series. key -- of a module: its column is kept"""
        if key not in self._columns:
            self._columns[key] = SeriesColumn(self, key)
        column: SeriesColumn[K] = self._columns[key]
        column.extend()
        return column

    def grouped(self, series: Indices, key: SeriesKey[K]) -> tuple[list[K], Indices]:
        """The distinct keys of some series, sorted, and the position in them of each series. key -- see `column`

        >>> index = SeriesIndex()
        >>> a, b = (index.of(Series(name, "FRA", JobType.AI, "p", "m", "")) for name in "ba")
        >>> keys, positions = index.grouped(np.array([a, b, a]), orchestrator_of)
        >>> keys, positions.tolist()
        (['a', 'b'], [1, 0, 1])
        """
        column = self.column(key)
        present, position = unique_inverse(column.of(series), len(column.keys))
        keys = [column.keys[each] for each in present.tolist()]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        rank = np.empty(len(keys), np.int64)
        rank[order] = np.arange(len(keys))
        return [keys[each] for each in order], rank[position]
