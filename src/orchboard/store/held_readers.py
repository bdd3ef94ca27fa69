"""The readers that hold in memory what they have read, of one server."""

from functools import cached_property
from typing import TYPE_CHECKING

from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.admission import Admission
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.reads import Reads
from orchboard.store.raw_results.cache import RawResultsCache
from orchboard.store.raw_results.pages import RawPages

if TYPE_CHECKING:
    from orchboard.store.details.reader import DetailReader
    from orchboard.store.rollups.reader import MeansReader


class HeldReaders:
    """What is held was read from one server: what another has replayed may be older.

    source -- the server
    """

    def __init__(
        self,
        source: Reads,
        regions: RegionDirectory,
        changes: VersionCounters,
        clock: DatabaseClock,
        admission: Admission,
        pages: RawPages,
    ) -> None:
        self.source = source
        self._arguments = regions, changes, clock, admission
        self.raw_results = RawResultsCache(source, changes, clock, pages)

    @cached_property
    def means(self) -> "MeansReader":
        """The reader of means, medians and pipelines. Imported on first use: numpy takes 0.2 s."""
        from orchboard.store.rollups.reader import MeansReader

        return MeansReader(self.source, *self._arguments)

    @cached_property
    def details(self) -> "DetailReader":
        """The reader of details. Imported on first use: numpy takes 0.2 s."""
        from orchboard.store.details.reader import DetailReader

        return DetailReader(self.source, *self._arguments)
