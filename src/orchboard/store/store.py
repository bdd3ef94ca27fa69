"""The store: one method for each question, results in the nouns of `stats`. SQL is in `sql/`, by the method's name."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from orchboard.errors import BadInputError, DatabaseUnavailableError
from orchboard.results.parse import ParsedStats
from orchboard.results.render import StoredResult, read_in_brief
from orchboard.runtime.supervised_tasks import Background, TaskHealth
from orchboard.runtime.tasks import consume_exception
from orchboard.stats import StatsQuery
from orchboard.store.change_tracking.version_counters import LATE_AFTER_S, VersionCounters
from orchboard.store.connection.failures import NO_PRIVILEGE, READ_ONLY, SCHEMA_DIFFERS
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.ingest.batch_writer import Writer
from orchboard.store.ingest.replay import Replay
from orchboard.store.postgres.admission import Admission
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import Database
from orchboard.store.raw_results.cache import RawResultsCache
from orchboard.store.raw_results.pages import RawPages, RowStream
from orchboard.store.spool.spool import NOTHING_SPOOLED, Spool, SpoolError, SpoolState
from orchboard.store.sql_files import sql

if TYPE_CHECKING:
    from orchboard.store.rollups.reader import MeansReader

log = structlog.get_logger(__name__)

KEY_LIFETIME = timedelta(hours=24)

# What questions may have under way: rows to be read or added up, some 5 ms for 10,000 (see Admission), and streams, of
# half a megabyte each. One client may have half of either. More rows at once keep a process no busier: they only have
# it answer everybody later.
_ROWS_UNDER_WAY = 48_000
_STREAMS_UNDER_WAY = 16

# How long the id of a region is waited for, before its result goes to the spool.
SPOOL_PATIENCE_S = 1.5


class RollupState(Struct, frozen=True):
    """How far the rollups are behind.

    age_s -- of the watermark, in seconds; None without rollups
    pending -- changes that are not applied to them yet
    """

    age_s: float | None
    pending: int


class Store:
    """Everything that is asked of the database. Raises DatabaseUnavailableError when it can't answer in time.

    clock -- the database's; background -- what is done to it beside answering
    """

    def __init__(
        self,
        database: Database,
        regions: RegionDirectory,
        changes: VersionCounters,
        spool: Spool | None = None,
    ) -> None:
        self._database = database
        self._changes = changes
        self.clock = DatabaseClock()
        self._writer = Writer(database, self.clock, on_region_gone=regions.invalidate, spool=spool)
        self._writer.tell_stored = self._note_stored
        self._admission = Admission(_ROWS_UNDER_WAY, share=_ROWS_UNDER_WAY // 2)
        streams = Admission(_STREAMS_UNDER_WAY, share=_STREAMS_UNDER_WAY // 2)
        self._raw_rows = RawResultsCache(
            database, changes, self.clock, RawPages(database, self._admission, streams)
        )
        self.regions = regions
        self.spool = spool
        self._missing: list[str] = []  # privileges
        self._is_read_only = False
        self.background = Background()

    def _note_stored(self, stored: Sequence[ParsedStats], took_s: float) -> None:
        """What has to be known of new results before anybody is told that they are stored."""
        if took_s > LATE_AFTER_S:
            self._changes.mark_late()
        self._changes.note(stored)

    def submit_stats(
        self, parsed: ParsedStats, *, key: str | None, body: bytes, tester_id: int | None = None
    ) -> asyncio.Future[ParsedStats]:
        """Store one result, received now; done, with what was stored, when it is on the disk.

        Needs a running loop. Whoever stops waiting, even by cancelling it, does not end the storing.

        key -- an Idempotency-Key: the same key with the same body stores once; body -- as it was signed
        tester_id -- who sent it, if that is somebody with a key of its own
        The future raises BadInputError, KeyReusedError, DatabaseUnavailableError. BadInputError is raised here for
        a region that is known to be none while the database is away; DatabaseUnavailableError when too much is
        waiting to be stored.
        """
        digest = None if key is None else sha256(body).digest()
        region_id = self.regions.cached_id_of(parsed.region, parsed.job_type)
        if region_id is not None:
            return self._writer.submit(parsed, region_id, key, digest, tester_id)
        if self.spool is not None and self.spool.is_away:
            if not self.regions.may_exist(parsed.region):
                raise BadInputError("invalid region")
            return self._writer.keep(parsed, key, digest, tester_id, asyncio.get_running_loop().time())
        submitting = asyncio.create_task(self._submit_when_known(parsed, key, digest, tester_id))
        submitting.add_done_callback(consume_exception)
        return submitting

    async def _submit_when_known(
        self, parsed: ParsedStats, key: str | None, digest: bytes | None, tester_id: int | None
    ) -> ParsedStats:
        region, job_type, came_at = parsed.region, parsed.job_type, asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(None if self.spool is None else SPOOL_PATIENCE_S):
                region_id = await self.regions.id_of(region, job_type)
        except (DatabaseUnavailableError, TimeoutError):
            if self.spool is None:
                raise
            self.spool.note_away()
            self._database.breaker.probe()
            return await self._writer.keep(parsed, key, digest, tester_id, came_at)
        if region_id is None:
            raise BadInputError("invalid region")
        return await self._writer.submit(parsed, region_id, key, digest, tester_id)

    async def fetch_spool_state(self) -> SpoolState:
        """How the spool is; empty, without one. Raises DatabaseUnavailableError when it can't be read."""
        if self.spool is None:
            return NOTHING_SPOOLED
        try:
            return await self.spool.state()
        except SpoolError as error:
            raise DatabaseUnavailableError("the spool can't be read") from error

    async def replay_spool(self, health: TaskHealth) -> None:
        """Store what the spool holds whenever the database is there, for ever; returns at once without a spool."""
        if self.spool is not None:
            await Replay(self.spool, self._database, self.regions, self._changes).run(health)

    async def fetch_rollup_state(self) -> RollupState:
        """How far the rollups are behind."""
        [row] = await self._database.fetch(sql("watermark"))
        return RollupState(row["age_s"], row["pending"])

    async def expire_idempotency_keys(self, now: datetime) -> int:
        """Forget the keys older than KEY_LIFETIME; how many there were."""
        [row] = await self._database.fetch(sql("expire_idempotency_keys"), now - KEY_LIFETIME)
        return int(row["number"])

    async def fetch_raw_stats(self, query: StatsQuery) -> list[tuple[str, bytes]] | RowStream:
        """One orchestrator's stored results, newest first by receipt: the region each names, and its JSON.

        A stream when they are too many to be held. Raises ClientBusyError, OverloadedError.
        """
        return await self._raw_rows.fetch(query)

    async def fetch_latest_results(self, query: StatsQuery, limit: int) -> list[StoredResult]:
        """The latest results of one orchestrator in brief, newest first."""
        window = query.window
        rows = await self._database.fetch(
            sql("latest_results"),
            query.orchestrator,
            window.since,
            self.clock.end_of(window),
            query.job_type,
            limit,
            query.region,
            query.pipeline,
            query.model,
        )
        return [
            read_in_brief(
                row["event_time"],
                (row["region"], row["pipeline"], row["model"]),
                row["members"],
                is_scored=row["is_scored"],
                outcome=row["outcome"],
                unscored_reason=row["unscored_reason"],
            )
            for row in rows
        ]

    @cached_property
    def means(self) -> "MeansReader":
        """Means, medians and pipelines. Imported when first asked for: numpy takes 0.2 s."""
        from orchboard.store.rollups.reader import MeansReader

        return MeansReader(self._database, self.regions, self._changes, self.clock, self._admission)

    async def fetch_unnamed_results(self, since: datetime) -> dict[str, int]:
        """How many results since then have an orchestrator that is not an address, by tester; "" for the shared secret."""
        rows = await self._database.fetch(sql("unnamed_results"), since)
        return {row["tester"]: row["results"] for row in rows}

    async def fetch_snapshot(self) -> str:
        """Another text whenever a transaction that writes has ended; not tried for long."""
        rows = await self._database.fetch(sql("snapshot"), patience_s=0)
        return str(rows[0]["snapshot"])

    async def ping(self) -> None:
        """A real round trip; raises DatabaseUnavailableError when there is none, or nothing can be read or written."""
        [row] = await self._database.fetch(sql("ping"), even_away=True)
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
        """Why results could not be written when that was last tried, or the last `ping` saw that they can't be, in
        words for anybody; None: they can."""
        return READ_ONLY if self._is_read_only else self._writer.failure

    async def close(self) -> None:
        """Store what waits to be stored, if that is soon done, and close the connections."""
        await self._writer.close()
        if self.spool is not None:
            await self.spool.close()
        await self._database.close()
