"""Results copied from another leaderboard's API: stored once however often they are read, and how far the copy is."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime

import asyncpg
from msgspec import Struct

from orchboard.errors import SetupError
from orchboard.stats import JobType, Region
from orchboard.store.connection.types import Connect, Connection
from orchboard.store.sql_files import sql

# What is taken back at the end of a rehearsal.
_REHEARSED = "a rehearsal"


class CopiedResult(Struct, frozen=True):
    """A result of another leaderboard.

    event_time -- when it was received, as far as that is known
    region -- code; of a region that there is
    payload -- for the database
    copies -- how many equal ones its span has before it
    """

    event_time: datetime
    region: str
    payload: bytes
    copies: int


class CopyPosition(Struct, frozen=True):
    """How far the copy of a span is: `position` and all before it are stored."""

    since: int
    until: int
    position: str


class MirrorStore:
    """The copy of the leaderboard at `url` in a database of the latest version.

    is_dry_run -- nothing is stored; what would be is counted
    """

    def __init__(self, connection: Connection, url: str, *, is_dry_run: bool) -> None:
        self._connection = connection
        self._url = url
        self._is_dry_run = is_dry_run
        self._id: int | None = None

    @classmethod
    async def open(cls, connect: Connect, url: str, *, is_dry_run: bool = False) -> "MirrorStore":
        """Connect; a copy that is new begins."""
        store = cls(await connect(), url, is_dry_run=is_dry_run)
        if not is_dry_run:
            await store._connection.execute(sql("mirror_add"), url)
        row = await store._connection.fetchrow(sql("mirror_find"), url)
        store._id = row["id"] if row is not None else None
        return store

    async def finish(self) -> None:
        """Have Postgres write everything to disk, and plan with it."""
        if not self._is_dry_run:
            await self._connection.execute(
                sql("analyze_events")
            )  # its commit waits for the disk, for all before it

    def close(self) -> None:
        """Disconnect."""
        self._connection.terminate()

    async def add_regions(self, regions: Sequence[Region]) -> int:
        """Add regions that are missing; how many those were. Display names that are there stay."""
        added: list[asyncpg.Record] = []
        with suppress(_Rehearsed):
            async with self._connection.transaction():
                await self._connection.execute(sql("restore_lock"))
                added = await self._connection.fetch(
                    sql("restore_regions"),
                    [region.id for region in regions],
                    [region.name for region in regions],
                    [str(region.type) for region in regions],
                )
                self._end_rehearsal()
        return len(added)

    async def fetch_reach(self) -> CopyPosition | None:
        """The span whose copy broke off; None without one."""
        row = await self._connection.fetchrow(sql("mirror_find"), self._url)
        return None if row is None or row["position"] is None else CopyPosition(*row[1:])

    async def covers(self, spans: Iterable[tuple[int, int]]) -> list[bool]:
        """Whether each span, Unix seconds, need not be asked for again."""
        wanted = list(spans)
        since, until = ([span[end] for span in wanted] for end in (0, 1))
        rows = await self._connection.fetch(sql("mirror_covers"), self._id, since, until)
        return [row["is_covered"] for row in rows] or [False] * len(wanted)

    async def store(
        self, orchestrator: str, job_type: JobType, span: tuple[int, int], results: Sequence[CopiedResult]
    ) -> int:
        """Store what is missing of results that the source has received in a span; how many those were.

        A result is there when one was received in the span, by copy or by POST, with the same orchestrator, region and
        payload. Raises SetupError when a region was removed meanwhile.
        """
        row: asyncpg.Record | None = None
        with suppress(_Rehearsed):
            async with self._connection.transaction():
                # A crash of Postgres may cost the last batches, and with them what notes that they are stored.
                await self._connection.execute("SET LOCAL synchronous_commit = off")
                await self._connection.execute(sql("restore_lock"))
                row = await self._connection.fetchrow(
                    sql("mirror_results"),
                    *(orchestrator, job_type, self._id, *span),
                    [result.event_time for result in results],
                    [result.region for result in results],
                    [result.payload.decode() for result in results],
                    [result.copies for result in results],
                )
                self._end_rehearsal()
        assert row is not None  # noqa: S101 - it counts, so it always has one
        stored, placeless = row
        if self._is_dry_run:
            return int(stored + placeless)  # their regions are not added
        if placeless:
            raise SetupError("a region was just removed from the database: run the command again")
        return int(stored)

    async def note(self, reach: CopyPosition) -> None:
        """Note how far the copy of a span is."""
        await self._note("mirror_reach", reach.since, reach.until, reach.position)

    async def cover(self, span: tuple[int, int], *, is_settled: bool) -> None:
        """End the copy of a span; `is_settled`: it need not be asked for again."""
        await self._note("mirror_cover", *span, is_settled)

    async def _note(self, statement: str, *arguments: object) -> None:
        if self._is_dry_run:
            return
        async with self._connection.transaction():
            await self._connection.execute("SET LOCAL synchronous_commit = off")
            await self._connection.execute(sql(statement), self._id, *arguments)

    def _end_rehearsal(self) -> None:
        if self._is_dry_run:
            raise _Rehearsed(_REHEARSED)


class _Rehearsed(Exception):  # noqa: N818 - nothing is wrong; it takes a transaction back
    pass
