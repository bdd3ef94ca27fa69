"""Stores results copied from another leaderboard's API, each once, and the position of the copy."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime

import asyncpg
from msgspec import Struct

from orchboard.errors import SetupError
from orchboard.stats import JobType, Region
from orchboard.store.connection.types import Connect, Connection
from orchboard.store.sql_files import sql


class CopiedResult(Struct, frozen=True):
    """A result of another leaderboard.

    event_time -- receipt time, as exactly as it is known
    region -- code of an existing region
    payload -- JSON for the database
    copies -- the number of equal results before it in its time range
    """

    event_time: datetime
    region: str
    payload: bytes
    copies: int


class CopyPosition(Struct, frozen=True):
    """The position of a copy in a time range: the results of `position` and of all before it are stored."""

    since: int
    until: int
    position: str


class MirrorStore:
    """The copy of the leaderboard at `url`, in a database of the latest version.

    is_dry_run -- roll back every change after counting
    """

    def __init__(self, connection: Connection, url: str, *, is_dry_run: bool) -> None:
        self._connection = connection
        self._url = url
        self._is_dry_run = is_dry_run
        self._id: int | None = None

    @classmethod
    async def open(cls, connect: Connect, url: str, *, is_dry_run: bool = False) -> "MirrorStore":
        """Connect, and register the URL if it is new."""
        store = cls(await connect(), url, is_dry_run=is_dry_run)
        if not is_dry_run:
            await store._connection.execute(sql("mirror_add"), url)
        row = await store._connection.fetchrow(sql("mirror_find"), url)
        store._id = row["id"] if row is not None else None
        return store

    async def finish(self) -> None:
        """Make all results durable, and update the planner's statistics."""
        if not self._is_dry_run:
            # Commits synchronously, which also makes all earlier batches durable.
            await self._connection.execute(sql("analyze_events"))

    def close(self) -> None:
        """Close the connection."""
        self._connection.terminate()

    async def add_regions(self, regions: Sequence[Region]) -> int:
        """Add missing regions; their number. Existing display names are not changed."""
        added: list[asyncpg.Record] = []
        with suppress(_DryRun):
            async with self._connection.transaction():
                await self._connection.execute(sql("restore_lock"))
                added = await self._connection.fetch(
                    sql("restore_regions"),
                    [region.id for region in regions],
                    [region.name for region in regions],
                    [str(region.type) for region in regions],
                )
                self._end_dry_run()
        return len(added)

    async def fetch_position(self) -> CopyPosition | None:
        """The position of an interrupted copy; None if there is none."""
        row = await self._connection.fetchrow(sql("mirror_find"), self._url)
        return None if row is None or row["position"] is None else CopyPosition(*row[1:])

    async def fetch_kept_since(self) -> datetime | None:
        """The time before which results are not kept, and not stored; None if all are kept."""
        row = await self._connection.fetchrow(sql("result_retention"))
        return None if row is None else row["kept_since"]

    async def fetch_complete(self, ranges: Iterable[tuple[int, int]]) -> list[bool]:
        """Whether each time range (Unix seconds) is copied completely."""
        wanted = list(ranges)
        since, until = ([one[end] for one in wanted] for end in (0, 1))
        rows = await self._connection.fetch(sql("mirror_complete_ranges"), self._id, since, until)
        return [row["is_complete"] for row in rows] or [False] * len(wanted)

    async def store(
        self,
        orchestrator: str,
        job_type: JobType,
        time_range: tuple[int, int],
        results: Sequence[CopiedResult],
    ) -> int:
        """Insert the results of a time range that the database does not have; their number.

        A stored result is the same if it was received in the range, by copy or by POST, with the same orchestrator,
        region and payload. Raises SetupError if a region was removed meanwhile.
        """
        row: asyncpg.Record | None = None
        with suppress(_DryRun):
            async with self._connection.transaction():
                # A crash of Postgres may undo the last batches, together with the position that was saved after them.
                await self._connection.execute("SET LOCAL synchronous_commit = off")
                await self._connection.execute(sql("restore_lock"))
                row = await self._connection.fetchrow(
                    sql("mirror_results"),
                    *(orchestrator, job_type, self._id, *time_range),
                    [result.event_time for result in results],
                    [result.region for result in results],
                    [result.payload.decode() for result in results],
                    [result.copies for result in results],
                )
                self._end_dry_run()
        assert row is not None  # noqa: S101 - the statement counts, so it returns one row
        stored, without_region = row
        if self._is_dry_run:
            return int(stored + without_region)  # a dry run adds no regions
        if without_region:
            raise SetupError("a region was removed from the database meanwhile: run the command again")
        return int(stored)

    async def save_position(self, position: CopyPosition) -> None:
        """Save the position of the copy in a time range."""
        await self._save("mirror_save_position", position.since, position.until, position.position)

    async def complete_range(self, time_range: tuple[int, int], *, is_complete: bool) -> None:
        """End the copy of a time range. is_complete -- later runs skip it"""
        await self._save("mirror_end_range", *time_range, is_complete)

    async def _save(self, statement: str, *arguments: object) -> None:
        if self._is_dry_run:
            return
        async with self._connection.transaction():
            await self._connection.execute("SET LOCAL synchronous_commit = off")
            await self._connection.execute(sql(statement), self._id, *arguments)

    def _end_dry_run(self) -> None:
        if self._is_dry_run:
            raise _DryRun


class _DryRun(Exception):  # noqa: N818 - not an error
    """Rolls back the transaction of a dry run."""
