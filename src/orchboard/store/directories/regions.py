"""A cache of the regions and of the ids that results refer to them by."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Set

import asyncpg
import structlog

from orchboard import limits
from orchboard.errors import BadInputError, DatabaseUnavailableError
from orchboard.runtime.tasks import consume_exception
from orchboard.stats import JobType, Region
from orchboard.store.change_tracking.version_counters import EVERYTHING, VersionCounters
from orchboard.store.connection.failures import NO_ANSWER
from orchboard.store.postgres.database import Database
from orchboard.store.sql_files import sql

log = structlog.get_logger(__name__)


class RegionDirectory:
    """The table `regions`, at most `cache_s` seconds old; older while the database is unavailable.

    Includes a region that another worker of this server adds at once, as that bumps a shared version counter.
    """

    def __init__(self, database: Database, *, cache_s: float, changes: VersionCounters | None = None) -> None:
        self._database = database
        self._cache_s = cache_s
        self._changes = changes or VersionCounters.alone()
        self._token_now = self._changes.version_reader(EVERYTHING)
        self._token: object = None
        self._regions: tuple[Region, ...] = ()
        self._ids: dict[tuple[str, JobType], int] = {}
        self._codes: dict[int, str] = {}
        self._job_types: dict[int, JobType] = {}
        self._read_at = self._last_read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def current(self, *, patience_s: float = limits.READ_RETRY_S) -> tuple[Region, ...]:
        """The regions, sorted by type, then GLOBAL first, then name.

        Raises DatabaseUnavailableError or TimeoutError if they were never read and can't be read now.
        """
        asked_at = time.monotonic()
        changed = self._token != self._token_now()
        if changed or asked_at - self._read_at > self._cache_s:
            try:
                async with asyncio.timeout(limits.READ_RETRY_S if self._regions else None):
                    await self._refresh(asked_at, patience_s)
            except (DatabaseUnavailableError, TimeoutError):
                if not self._regions:
                    raise
                log.warning(
                    "serving stale regions: they could not be read", age_s=round(asked_at - self._read_at)
                )
        return self._regions

    async def fetch(self) -> tuple[Region, ...]:
        """The regions as the database has them now. Raises DatabaseUnavailableError.

        Does not refresh the cache before `cache_s`, so that posts are checked against it for that time, as in the reference.
        """
        try:
            async with asyncio.timeout(limits.READ_RETRY_S):
                if time.monotonic() - self._read_at > self._cache_s:
                    await self._refresh(time.monotonic())
                    return self._regions
                return _regions_in(await self._database.fetch(sql("regions")))
        except TimeoutError:
            raise DatabaseUnavailableError(NO_ANSWER) from None

    def last_known(self) -> tuple[tuple[Region, ...], float] | None:
        """The regions that were read last, and their age in seconds; None if they were never read."""
        return (self._regions, time.monotonic() - self._last_read_at) if self._regions else None

    async def id_of(self, region: str, job_type: JobType) -> int | None:
        """The id of a region for a job type; None if the region is unknown for both job types.

        A region that exists for the other job type only is added for this one. A region that another program added is
        unknown until the next refresh, as in the reference.
        """
        await self.current(patience_s=limits.WRITE_RETRY_S)
        found = self._ids.get((region, job_type))
        if found is None and (known := self._named(region)):
            await self.add(region, known.name, job_type)
            found = self._ids.get((region, job_type))
        return found

    async def codes_of(self, ids: Set[int]) -> Mapping[int, str]:
        """Region codes by id, for at least these ids. Refreshes the cache if one is missing.

        The code of a removed region that still has results in rollups is its id after a question mark.
        """
        if not ids <= self._codes.keys():
            self.invalidate()
            await self.current()
            self._codes |= {removed: f"?{removed}" for removed in ids - self._codes.keys()}
        return self._codes

    def job_type_of(self, region_id: int) -> JobType | None:
        """The job type of an id that `codes_of` has returned; None if it is none of JobType."""
        return self._job_types.get(region_id)

    def may_exist(self, region: str) -> bool:
        """Whether the cache has a region, for any job type; True if the regions were never read."""
        return not self._regions or self._named(region) is not None

    async def read(self) -> None:
        """Refresh the cache. Raises DatabaseUnavailableError."""
        await self._refresh(time.monotonic())

    def cached_id_of(self, region: str, job_type: JobType) -> int | None:
        """The id of a region for a job type, if the cache is fresh and has it; None: call `id_of`."""
        if time.monotonic() - self._read_at > self._cache_s:
            return None
        return self._ids.get((region, job_type))

    async def add(self, region: str, display_name: str, job_type: JobType) -> bool:
        """Add a region for a job type; False if it exists."""
        rows = await self._database.fetch(sql("insert_region"), region, display_name, job_type)
        self._changes.invalidate_all()
        await self._refresh(time.monotonic())
        return bool(rows)

    async def rename(self, region: str, display_name: str) -> bool:
        """Change the display name of a region; False if it does not exist."""
        rows = await self._database.fetch(sql("rename_region"), region, display_name)
        self._changes.invalidate_all()
        await self._refresh(time.monotonic())
        return bool(rows)

    async def remove(self, region: str, job_type: JobType | None) -> None:
        """Remove a region for a job type; None: for both.

        Raises BadInputError if it does not exist or results refer to it.
        """
        counted = await self._database.fetch(sql("region_results"), region, job_type)
        if not counted:
            raise BadInputError(f"there is no region {region}" + (f" for {job_type}" if job_type else ""))
        if used := [row for row in counted if row["results"]]:
            numbers = ", ".join(f"{row['results']:,} {row['job_type']}" for row in used)
            raise BadInputError(f"{region} can't be removed: results refer to it ({numbers})")
        try:
            await self._database.fetch(sql("delete_region"), region, job_type)
        except asyncpg.ForeignKeyViolationError:
            raise BadInputError(f"{region} can't be removed: a result from it was stored meanwhile") from None
        self._changes.invalidate_all()
        await self._refresh(time.monotonic())

    def invalidate(self) -> None:
        """Refresh the cache at its next use."""
        self._read_at = float("-inf")

    def _named(self, region: str) -> Region | None:
        return next((known for known in self._regions if known.id == region), None)

    async def _refresh(self, asked_at: float, patience_s: float = limits.READ_RETRY_S) -> None:
        """Refresh the cache, unless a refresh has begun since `asked_at`.

        Single-flight: concurrent callers wait for one query and share its exception. Otherwise each would wait for the
        database in turn.
        """
        deadline = time.monotonic() + patience_s
        while self._read_at < asked_at:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
                self._reading.add_done_callback(consume_exception)
            try:
                await asyncio.shield(self._reading)
            except DatabaseUnavailableError:
                if time.monotonic() + limits.READ_RETRY_S > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def _read(self) -> None:
        began_at, token = time.monotonic(), self._token_now()
        rows = await self._database.fetch(sql("regions"))
        self._regions = _regions_in(rows)
        self._ids = {(row["region"], row["job_type"]): row["id"] for row in rows}
        self._codes = {row["id"]: row["region"] for row in rows}
        self._job_types = {
            row["id"]: JobType(row["job_type"]) for row in rows if row["job_type"] in set(JobType)
        }
        self._read_at, self._token = began_at, token
        self._last_read_at = began_at


def _regions_in(rows: Iterable[asyncpg.Record]) -> tuple[Region, ...]:
    return tuple(
        Region(row["region"], row["display_name"], JobType(row["job_type"]))
        for row in rows
        if row["job_type"] in set(JobType)
    )
