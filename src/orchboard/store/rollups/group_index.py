"""Series: what stands behind the integers of the summaries, and one numbering for all that this process adds up."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence, Set
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from orchboard.stats import JobType
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.database import Database
from orchboard.store.rollups.index_sets import distinct, marked
from orchboard.store.sql_files import sql

T = TypeVar("T", bound=Hashable)
Numbers: TypeAlias = NDArray[np.int64]
Cell: TypeAlias = tuple[str, str]
"""An orchestrator, lower case, and a region code."""
PipelineModel: TypeAlias = tuple[str, str]
"""A pipeline and a model; both empty for transcoding."""
ResultKey: TypeAlias = bytes
"""What a result is of: region id (4 bytes), orchestrator in lower case, 0, pipeline, 0, model."""

_JOB_TYPES = {job_type: place for place, job_type in enumerate(JobType)}
_NOT_SCORED = -1
_NOTHING_SEEN = -1


class GroupIndex:
    """Every series seen so far: a cell with a pipeline and model, by a number of this process's own.

    Numbers go from 0 on without gaps. A result that was not summed up yet may belong to a series that the
    database has no integer for.

    cells, models -- those that occur, in the order in which they were seen
    seen -- (pipeline, model, region code) of scored results with both names, whatever their job type, in that order
    """

    def __init__(self, database: Database, regions: RegionDirectory) -> None:
        self._database = database
        self._regions = regions
        self.cells: list[Cell] = []
        self.models: list[PipelineModel] = []
        self.seen: list[tuple[str, str, str]] = []
        self._cell_places: dict[Cell, int] = {}
        self._of_orchestrator: defaultdict[str, list[int]] = defaultdict(list)
        self._of_region: defaultdict[str, list[int]] = defaultdict(list)
        self._model_places: dict[PipelineModel, int] = {}
        self._seen_places: dict[tuple[str, str, str], int] = {}
        self._numbers: dict[tuple[int, int], int] = {}
        self._by_id: Numbers = np.full(0, -1)
        self._by_key: dict[ResultKey, int] = {}
        self._kinds = np.zeros((0, 3), np.int64)
        self._places: Numbers = np.zeros((0, 2), np.int64)
        self._ranks: Numbers = np.zeros(0, np.int64)
        self._cells_in_order: list[Cell] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def places_of(self, numbers: NDArray[np.integer]) -> tuple[Numbers, Numbers]:
        """Where in `cells`, and where in `models`, each series is."""
        if len(self._places) < len(self._numbers):
            self._places = np.array(list(self._numbers), np.int64)
        found = self._places[numbers]
        return found[:, 0], found[:, 1]

    def cells_where(self, orchestrator: str | None, region: str | None) -> NDArray[np.bool_]:
        """Which of `cells` are those of an orchestrator, of a region, or of one in the other."""
        if orchestrator is None:
            places = self._of_region.get(region or "", [])
        else:
            places = self._of_orchestrator.get(orchestrator, [])
            places = [place for place in places if region in (None, self.cells[place][1])]
        return marked(places, len(self.cells))

    def order_of_cells(self) -> tuple[list[Cell], Numbers]:
        """All cells in their order, and for each of `cells` its place in that."""
        if len(self._ranks) < len(self.cells):
            order = sorted(range(len(self.cells)), key=self.cells.__getitem__)
            self._cells_in_order = [self.cells[place] for place in order]
            self._ranks = np.empty(len(order), np.int64)
            self._ranks[order] = np.arange(len(order))
        return self._cells_in_order, self._ranks

    async def region_codes(self, region_ids: Set[int]) -> Mapping[int, str]:
        """The region code for at least these ids."""
        return await self._regions.codes_of(region_ids)

    async def numbers_of(self, ids: Numbers) -> Numbers:
        """The numbers for the database's integers; asks it for those not seen before."""
        if not len(ids):
            return np.zeros(0, np.int64)
        if (longer := int(ids.max()) + 1) > len(self._by_id):
            self._by_id = np.concatenate([self._by_id, np.full(longer - len(self._by_id), -1)])
        unknown = distinct(ids[self._by_id[ids] < 0], longer)
        if len(unknown):
            rows = await self._database.fetch(sql("series"), unknown.tolist())
            codes = await self._regions.codes_of({row["region_id"] for row in rows})
            for row in rows:
                cell, model = (row["orchestrator"], codes[row["region_id"]]), (row["pipeline"], row["model"])
                self._by_id[row["id"]] = self._number_of(cell, model)
        return self._by_id[ids]

    async def numbers_of_groups(
        self, orchestrators: Sequence[str], region_ids: Sequence[int], model: PipelineModel
    ) -> Numbers:
        """The numbers of series of one pipeline and model."""
        codes = await self._regions.codes_of(set(region_ids))
        cells = zip(orchestrators, (codes[region_id] for region_id in region_ids), strict=True)
        return np.array([self._number_of(cell, model) for cell in cells], np.int64)

    async def kinds_of(self, keys: bytes, lengths: Numbers) -> Numbers:
        """For each result: the place of its job type in JobType (-1: it is never scored), its series, and what of
        `seen` it shows (-1: nothing). Shape (results, 3).

        keys -- the ResultKey of each, one after the other; lengths -- of each, in bytes
        """
        known, ends = self._by_key, np.cumsum(lengths)
        starts = ends - lengths

        def each() -> Iterator[ResultKey]:  # of some 100,000, one at a time
            return (keys[start:end] for start, end in zip(starts.data, ends.data, strict=True))

        await self._learn(set(each()) - known.keys())
        places = np.fromiter((known[key] for key in each()), np.int64, len(lengths))
        return self._kinds[places]

    async def seen_of(
        self, pipelines: Sequence[str], models: Sequence[str], region_ids: Sequence[int]
    ) -> Numbers:
        """The places in `seen` of some combinations."""
        codes = await self._regions.codes_of(set(region_ids))
        regions = [codes[region_id] for region_id in region_ids]
        shown = zip(pipelines, models, regions, strict=True)
        return np.array([_place(each, self._seen_places, self.seen) for each in shown], np.int64)

    async def _learn(self, keys: Set[ResultKey]) -> None:
        """Have the kinds of some keys in `_kinds`, and where in `_by_key`."""
        if not keys:
            return
        codes = await self._regions.codes_of({_region_id_of(key) for key in keys})
        new = [key for key in keys if key not in self._by_key]
        first = len(self._kinds)
        self._kinds = np.concatenate([self._kinds, [self._kind_of(key, codes) for key in new]])
        self._by_key.update(zip(new, range(first, len(self._kinds)), strict=True))

    def _kind_of(self, key: ResultKey, codes: Mapping[int, str]) -> tuple[int, int, int]:
        region_id = _region_id_of(key)
        orchestrator, pipeline, model = key[4:].decode().split("\0")
        code = codes[region_id]
        seen = (pipeline, model, code)
        job_type = self._regions.job_type_of(region_id)
        shown = _NOTHING_SEEN
        if pipeline and model and orchestrator:
            shown = _place(seen, self._seen_places, self.seen)
        if not orchestrator or job_type is None:
            return _NOT_SCORED, 0, shown
        names = (pipeline, model) if job_type is JobType.AI else ("", "")
        return _JOB_TYPES[job_type], self._number_of((orchestrator, code), names), shown

    def _number_of(self, cell: Cell, model: PipelineModel) -> int:
        if cell not in self._cell_places:
            self._of_orchestrator[cell[0]].append(len(self.cells))
            self._of_region[cell[1]].append(len(self.cells))
        places = _place(cell, self._cell_places, self.cells), _place(model, self._model_places, self.models)
        return self._numbers.setdefault(places, len(self._numbers))


def _region_id_of(key: ResultKey) -> int:
    return int.from_bytes(key[:4], "big", signed=True)


def _place(item: T, places: dict[T, int], items: list[T]) -> int:
    place = places.setdefault(item, len(items))
    if place == len(items):
        items.append(item)
    return place
