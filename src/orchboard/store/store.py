"""The store: one method per query, which returns the types of `stats`. The SQL file has the name of the method."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from orchboard import limits
from orchboard.errors import BadInputError, DatabaseUnavailableError
from orchboard.results.parse import ParsedStats
from orchboard.results.render import StoredResult, read_summary
from orchboard.results.submission import Submission
from orchboard.runtime.counters import Counters
from orchboard.runtime.supervised_tasks import Background, TaskHealth
from orchboard.runtime.tasks import consume_exception
from orchboard.stats import JobType, StatsQuery
from orchboard.store.change_tracking.version_counters import (
    EVERYTHING,
    EXTERNAL_WRITES,
    VersionCounters,
    job_type_key,
)
from orchboard.store.citus.changes import NodeChanges
from orchboard.store.citus.nodes import NodeError
from orchboard.store.connection.failures import NO_PRIVILEGE, READ_ONLY, SCHEMA_DIFFERS, unavailable
from orchboard.store.details.backlog import RollupBacklog, fetch_backlog
from orchboard.store.directories.names import NameDirectory
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.held_readers import HeldContext, ReadersByServer
from orchboard.store.ingest.batch_writer import BatchWriter
from orchboard.store.ingest.ingest_counters import IngestCounters
from orchboard.store.ingest.lanes import LaneWriter
from orchboard.store.ingest.replay import Replay
from orchboard.store.postgres.admission import Admission
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import Database, LastFailure
from orchboard.store.postgres.reads import Reads
from orchboard.store.postgres.standby_reads import StandbyReads
from orchboard.store.raw_results.export import ResultExport
from orchboard.store.raw_results.latest_transcoding import LatestTranscodingReader
from orchboard.store.raw_results.new_results import NewResultReader
from orchboard.store.raw_results.pages import RawPages, RowStream
from orchboard.store.raw_results.paging import RawPaging
from orchboard.store.raw_results.recent import RecentResults
from orchboard.store.raw_results.searched_name import searched_name
from orchboard.store.retention.retention import Retention
from orchboard.store.spool.spool import NOTHING_SPOOLED, Spool, SpoolError, SpoolState
from orchboard.store.sql_files import sql
from orchboard.window import EARLIEST

if TYPE_CHECKING:
    from orchboard.store.details.reader import DetailReader
    from orchboard.store.rollups.reader import MeansReader

log = structlog.get_logger(__name__)

KEY_LIFETIME = timedelta(hours=24)


class RollupState(Struct, frozen=True):
    """The lag of the rollups.

    age_s -- age of the watermark, in seconds; None without rollups
    pending -- number of invalidations that are not applied yet
    """

    age_s: float | None
    pending: int


class Store:
    """All reads and writes of the database. Methods raise DatabaseUnavailableError when it does not answer in time.

    clock -- the database's clock
    new_results -- the reader of results as they come
    read_versions -- returns the versions that change with every result of this host, for comparison
    export -- results as text
    raw_paging -- pages of raw_stats
    recent_results -- the latest results of an orchestrator
    latest_transcoding -- the latest transcoding result of each orchestrator and region
    background -- the background tasks of this process
    breaker -- whether the database is available
    tester_names -- of all testers by id, also of revoked ones, as last read
    names -- the names of orchestrators
    retention -- from when on results are kept
    ingest_counters -- counters of acknowledged results and batches
    """

    def __init__(
        self,
        database: Database,
        regions: RegionDirectory,
        changes: VersionCounters,
        spool: Spool | None = None,
        counters: Counters | None = None,
        *,
        postgres_read: str = "",
    ) -> None:
        """postgres_read -- the URL of standbys, from which questions are answered; empty: none"""
        self._database = database
        self._changes = changes
        self.clock = DatabaseClock()
        self.standbys: StandbyReads | None = None
        if postgres_read:
            self.standbys = StandbyReads(
                postgres_read, database, self.clock, changes, first=changes.worker_slot
            )
        self._on_position = None if self.standbys is None else changes.note_position
        self.breaker = database.breaker
        self.ingest_counters = IngestCounters(counters or Counters.alone())
        self.tester_names: Mapping[int, str] = {}
        new_writer = partial(
            BatchWriter,
            database,
            self.clock,
            self.ingest_counters,
            on_region_gone=regions.invalidate,
            on_stored=self._note_stored,
            spool=spool,
            on_position=self._on_position,
        )
        self._writer = LaneWriter(database, new_writer)
        self._admission = Admission(limits.MAX_ROWS_IN_PROGRESS, share=limits.MAX_ROWS_IN_PROGRESS // 2)
        self.streams = Admission(limits.MAX_STREAMS, share=limits.MAX_STREAMS // 2)
        self.new_results = NewResultReader(database)
        self.read_versions = changes.version_reader(
            EVERYTHING, EXTERNAL_WRITES, *(job_type_key(job_type) for job_type in JobType)
        )
        self._reads: Reads = self.standbys or database
        pages = RawPages(self._reads, self._admission, self.streams)
        self.raw_paging = RawPaging(pages, self.clock)
        self.export = ResultExport(self._reads, self.clock, pages)
        self.recent_results = RecentResults(self._reads, self.clock)
        self.latest_transcoding = LatestTranscodingReader(database)
        self.regions = regions
        self._readers = ReadersByServer(
            database,
            self.standbys,
            HeldContext(regions, changes, self.clock, self._admission, self.streams, pages),
        )
        self.names = NameDirectory(database, changes)
        self.retention = Retention(database)
        self.spool = spool
        self._node_changes = NodeChanges(partial(database.fetch, patience_s=0))
        self._missing: list[str] = []  # privileges
        self._is_read_only = False
        self.background = Background()

    def _note_stored(self, stored: Sequence[ParsedStats], took_s: float) -> None:
        """Invalidate cached answers, before senders are told that their results are stored."""
        if took_s > limits.LATE_INSERT_S:
            self._changes.mark_late()
        self._changes.note(stored)

    def submit(self, submission: Submission) -> asyncio.Future[ParsedStats]:
        """Store a submission; the future is done, with the result, when it is committed or in the spool.

        Needs a running loop. Cancelling the future does not stop the submission from being stored.

        Raises DatabaseUnavailableError when the queue is full, and BadInputError for a region that is known not to exist
        while results go directly to the spool. The future raises these, and KeyReusedError. After
        DatabaseUnavailableError the result may have been stored.
        """
        parsed = submission.parsed
        submission.region_id = self.regions.cached_id_of(parsed.region, parsed.job_type)
        if submission.region_id is None:
            if not self.breaker.spools_results:
                looking_up = asyncio.create_task(self._look_up_and_submit(submission))
                looking_up.add_done_callback(consume_exception)
                return looking_up
            if not self.regions.may_exist(parsed.region):
                raise BadInputError("invalid region")
        return self._writer.submit(submission)

    async def _look_up_and_submit(self, submission: Submission) -> ParsedStats:
        parsed = submission.parsed
        try:
            async with asyncio.timeout(None if self.spool is None else limits.REGION_LOOKUP_S):
                submission.region_id = await self.regions.id_of(parsed.region, parsed.job_type)
        except (DatabaseUnavailableError, TimeoutError):
            if self.spool is None:
                raise
            self.breaker.start_spooling()
        else:
            if submission.region_id is None:
                raise BadInputError("invalid region")
        return await self._writer.submit(submission)

    async def fetch_spool_state(self) -> SpoolState:
        """The state of the spool; that of an empty one without a spool. Raises DatabaseUnavailableError when it can't be read."""
        if self.spool is None:
            return NOTHING_SPOOLED
        try:
            return await self.spool.state()
        except SpoolError as error:
            raise DatabaseUnavailableError("the spool can't be read") from error

    async def replay_spool(self, health: TaskHealth) -> None:
        """Run the replay until cancelled; returns at once without a spool."""
        if self.spool is not None:
            await Replay(
                self.spool, self._database, self.regions, self._changes, on_position=self._on_position
            ).run(health)

    async def fetch_rollup_state(self) -> RollupState:
        """The lag of the rollups."""
        [row] = await self._database.fetch(sql("watermark"))
        return RollupState(row["age_s"], row["pending"])

    async def fetch_rollup_backlog(self, age_s: float | None) -> RollupBacklog:
        """What is not in rollups and details yet. age_s -- see RollupState"""
        now = self.clock.now()
        watermark = EARLIEST if age_s is None else now - timedelta(seconds=age_s)
        return await fetch_backlog(self._database.fetch, now, watermark)

    async def expire_idempotency_keys(self, now: datetime) -> int:
        """Delete the keys that are older than KEY_LIFETIME; returns their number."""
        [row] = await self._database.fetch(sql("expire_idempotency_keys"), now - KEY_LIFETIME)
        return int(row["number"])

    async def fetch_raw_stats(self, query: StatsQuery) -> list[tuple[str, bytes]] | RowStream:
        """One orchestrator's stored results, newest first by receipt: the region and the JSON of each.

        A stream when they are too large for memory. Raises ClientBusyError, OverloadedError.
        """
        return await self._readers.current.raw_results.fetch(query)

    async def fetch_first_result_at(self, since: datetime) -> datetime | None:
        """The receipt time of the first result at or after a time; None without one."""
        rows = await self._reads.fetch(sql("first_result"), since)
        return rows[0]["event_time"] if rows else None

    async def fetch_latest_results(self, query: StatsQuery, limit: int) -> list[StoredResult]:
        """Summaries of the latest results of one orchestrator, newest first."""
        window = query.window
        rows = await self._reads.fetch(
            sql("latest_results"),
            None if query.orchestrator is None else searched_name(query.orchestrator),
            window.since,
            self.clock.end_of(window),
            query.job_type,
            limit,
            query.region,
            query.pipeline,
            query.model,
        )
        return [
            read_summary(
                row["event_time"],
                (row["region"], row["pipeline"], row["model"]),
                row["members"],
                is_scored=row["is_scored"],
                outcome=row["outcome"],
                unscored_reason=row["unscored_reason"],
            )
            for row in rows
        ]

    @property
    def means(self) -> "MeansReader":
        """The reader of means, medians and pipelines."""
        return self._readers.current.means

    @property
    def details(self) -> "DetailReader":
        """The reader of details."""
        return self._readers.current.details

    async def fetch_unnamed_results(self, since: datetime) -> dict[str, int]:
        """The number of results since a time whose orchestrator is not an address, by tester; "" for the shared secret."""
        rows = await self._database.fetch(self._database.statement("unnamed_results"), since)
        return {row["tester"]: row["results"] for row in rows}

    async def fetch_newest_results(self, since: datetime) -> dict[tuple[JobType, str], datetime]:
        """The receipt time of the newest result since a time, by job type and region."""
        rows = await self._database.fetch(sql("newest_results"), since)
        known = [row for row in rows if row["job_type"] in set(JobType)]
        return {(JobType(row["job_type"]), row["region"]): row["event_time"] for row in known}

    async def read_tester_names(self) -> None:
        """Read `tester_names`."""
        rows = await self._database.fetch(sql("tester_names"))
        self.tester_names = {row["id"]: row["name"] for row in rows}

    async def fetch_snapshot(self) -> str:
        """A text that changes whenever a writing transaction ends. Does not retry."""
        if self._database.kind.is_distributed:
            try:
                return await self._node_changes.collect()
            except NodeError as error:
                raise unavailable(error) from error
        if self.standbys is not None:
            return await self.standbys.fetch_snapshot()
        rows = await self._database.fetch(sql("snapshot"), patience_s=0)
        return str(rows[0]["snapshot"])

    async def ping(self) -> None:
        """Query the database, also while the circuit breaker is open. Raises DatabaseUnavailableError when it does not answer,
        the schema differs or a privilege is missing."""
        [row] = await self._database.fetch(sql("ping"), even_open=True)
        if not row["ready"]:
            raise DatabaseUnavailableError(SCHEMA_DIFFERS)
        self._is_read_only = row["read_only"] and not (row["in_recovery"] and self._database.has_standbys)
        if row["missing"] != self._missing:
            self._missing = row["missing"]
            if self._missing:
                log.error("the database's role lacks privileges", missing=self._missing)
            else:
                log.info("the database's role has all privileges")
        if self._missing:
            raise DatabaseUnavailableError(NO_PRIVILEGE)

    @property
    def write_failure(self) -> str | None:
        """The public message of the last failed write, or of a read-only database seen by `ping`; None when writes succeed."""
        return READ_ONLY if self._is_read_only else self._writer.failure

    @property
    def last_failure(self) -> LastFailure | None:
        """The last failed statement or probe of this process; None before the first."""
        return self._database.last_failure

    async def close(self) -> None:
        """Store queued submissions within a time limit, and close the connections and the spool."""
        await self._writer.close()
        if self.spool is not None:
            await self.spool.close()
        await self._database.close()
