"""The readers that hold in memory what they have read: a set for each server that is read."""

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.admission import Admission
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.reads import Reads
from orchboard.store.postgres.standby_reads import StandbyReads
from orchboard.store.raw_results.cache import RawResultsCache
from orchboard.store.raw_results.pages import RawPages

if TYPE_CHECKING:
    from orchboard.store.details.reader import DetailReader
    from orchboard.store.rollups.reader import MeansReader


class HeldContext(NamedTuple):
    """What all readers share.

    streams -- limits streams; pages -- of the server that the running computation reads
    """

    regions: RegionDirectory
    changes: VersionCounters
    clock: DatabaseClock
    admission: Admission
    streams: Admission
    pages: RawPages


class HeldReaders:
    """What is held was read from one server: what another has replayed may be older.

    source -- the server
    """

    def __init__(self, source: Reads, context: HeldContext, pages: RawPages) -> None:
        self.source = source
        self._context = context
        self.raw_results = RawResultsCache(source, context.changes, context.clock, pages)

    @cached_property
    def means(self) -> "MeansReader":
        """The reader of means, medians and pipelines. Imported on first use: numpy takes 0.2 s."""
        from orchboard.store.rollups.reader import MeansReader

        return MeansReader(self.source, *self._context[:4])

    @cached_property
    def details(self) -> "DetailReader":
        """The reader of details. Imported on first use: numpy takes 0.2 s."""
        from orchboard.store.details.reader import DetailReader

        return DetailReader(self.source, *self._context[:4])


class ReadersByServer:
    """The readers of the primary, and of the standby in use; those of a standby that was left are dropped."""

    def __init__(self, primary: Database, standbys: StandbyReads | None, context: HeldContext) -> None:
        """standbys -- None: the primary answers everything"""
        self._primary = primary
        self._standbys = standbys
        self._context = context
        pages = context.pages if standbys is None else RawPages(primary, context.admission, context.streams)
        self._of_primary = HeldReaders(primary, context, pages)
        self._of_standby: HeldReaders | None = None

    @property
    def current(self) -> HeldReaders:
        """Those of the server that the running computation reads; outside of one, of the primary."""
        source = None if self._standbys is None else self._standbys.source
        if source is None or source is self._primary:
            return self._of_primary
        if self._of_standby is None or self._of_standby.source is not source:
            self._of_standby = HeldReaders(source, self._context, self._context.pages)
        return self._of_standby
