"""Series: what stands behind the integers of the summaries, and one numbering for all that this process adds up."""

from collections.abc import Hashable
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from orchboard.store.database import Database
from orchboard.store.queries import sql

T = TypeVar("T", bound=Hashable)
Numbers: TypeAlias = NDArray[np.int64]
Cell: TypeAlias = tuple[str, int]
"""An orchestrator, lower case, and the id of a region."""
PipelineModel: TypeAlias = tuple[str, str]
"""A pipeline and a model; both empty for transcoding."""


class SeriesDirectory:
    """Every series seen so far: a cell with a pipeline and model, by a number of this process's own.

    Numbers go from 0 on without gaps. A result that was not summed up yet may belong to a series that the
    database has no integer for.

    cells, models -- those that occur, in the order in which they were seen
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.cells: list[Cell] = []
        self.models: list[PipelineModel] = []
        self._cell_places: dict[Cell, int] = {}
        self._model_places: dict[PipelineModel, int] = {}
        self._numbers: dict[tuple[int, int], int] = {}
        self._by_id: Numbers = np.full(0, -1)
        self._places: NDArray[np.int64] = np.zeros((0, 2), np.int64)

    def __len__(self) -> int:
        return len(self._numbers)

    def number_of(self, cell: Cell, model: PipelineModel) -> int:
        """The number of a series, a new one if it is new."""
        places = _place(cell, self._cell_places, self.cells), _place(model, self._model_places, self.models)
        return self._numbers.setdefault(places, len(self._numbers))

    def places_of(self, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """Where in `cells`, and where in `models`, each series is."""
        if len(self._places) < len(self._numbers):
            self._places = np.array(list(self._numbers), np.int64)
        found = self._places[numbers]
        return found[:, 0], found[:, 1]

    async def numbers_of(self, ids: NDArray[np.int32]) -> Numbers:
        """The numbers for the database's integers; asks it for those not seen before."""
        if not len(ids):
            return np.zeros(0, np.int64)
        if (longer := int(ids.max()) + 1) > len(self._by_id):
            self._by_id = np.concatenate([self._by_id, np.full(longer - len(self._by_id), -1)])
        unknown = np.unique(ids[self._by_id[ids] < 0])
        if len(unknown):
            for row in await self._database.fetch(sql("series"), unknown.tolist()):
                cell, model = (row["orchestrator"], row["region_id"]), (row["pipeline"], row["model"])
                self._by_id[row["id"]] = self.number_of(cell, model)
        return self._by_id[ids]


def _place(item: T, places: dict[T, int], items: list[T]) -> int:
    place = places.setdefault(item, len(items))
    if place == len(items):
        items.append(item)
    return place
