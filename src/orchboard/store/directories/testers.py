"""A cache of the job testers that have their own signing key, and of the keys."""

import asyncio
import time
from collections.abc import Iterable
from datetime import datetime

import asyncpg
import structlog
from msgspec import Struct

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError
from orchboard.runtime.tasks import consume_exception
from orchboard.stats import Tester
from orchboard.store.connection.failures import NO_ANSWER
from orchboard.store.postgres.database import Database
from orchboard.store.sql_files import sql

log = structlog.get_logger(__name__)


class ListedTester(Struct, frozen=True):
    """A tester as listed for operators.

    regions -- codes of the regions it may post from, sorted; None: any
    revoked_at -- None: its key is valid
    """

    name: str
    regions: tuple[str, ...] | None
    added_at: datetime
    revoked_at: datetime | None


class TesterDirectory:
    """The table `testers`, at most TESTER_STALENESS_S old; older while the database is unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys: dict[str, tuple[Tester, str]] = {}
        self._is_read = False
        self._fresh_until = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    def is_fresh(self) -> bool:
        """Whether `key_of` may be called without `refresh`."""
        return time.monotonic() < self._fresh_until

    def key_of(self, name: str) -> tuple[Tester, str] | None:
        """A tester and its key; None if no tester has that name, or its key is revoked."""
        return self._keys.get(name)

    async def refresh(self) -> None:
        """Refresh the cache unless it is fresh. Single-flight: concurrent callers share one query.

        Keeps the cached keys if the database is unavailable. Raises DatabaseUnavailableError if there are none.
        """
        if self.is_fresh():
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(consume_exception)
        try:
            async with asyncio.timeout(limits.READ_RETRY_S if self._is_read else limits.WRITE_RETRY_S):
                await asyncio.shield(self._reading)
        except (DatabaseUnavailableError, TimeoutError):
            if not self._is_read:
                raise DatabaseUnavailableError(NO_ANSWER) from None
            self._fresh_until = time.monotonic() + limits.TESTER_STALENESS_S
            log.warning("using stale keys of testers: they could not be read")

    async def fetch(self) -> tuple[ListedTester, ...]:
        """All testers, also with revoked keys, in the order they were added."""
        rows = await self._database.fetch(sql("testers"))
        return tuple(
            ListedTester(
                row["name"],
                None if row["regions"] is None else tuple(sorted(row["regions"])),
                row["added_at"],
                row["revoked_at"],
            )
            for row in rows
        )

    async def add(self, name: str, key: str, regions: Iterable[str] | None) -> bool:
        """Add a tester; False if one of that name has a valid key."""
        codes = None if regions is None else sorted(set(regions))
        return bool(await self._database.fetch(sql("insert_tester"), name, key, codes))

    async def revoke(self, name: str) -> bool:
        """Revoke a tester's key; False if none of that name has one."""
        return bool(await self._database.fetch(sql("revoke_tester"), name))

    async def _read(self) -> None:
        began_at = time.monotonic()
        patience_s = 0 if self._is_read else limits.WRITE_RETRY_S
        rows = await self._database.fetch(sql("testers"), patience_s=patience_s)
        self._keys = {row["name"]: (_tester_in(row), row["key"]) for row in rows if row["key"] is not None}
        self._is_read, self._fresh_until = True, began_at + limits.TESTER_STALENESS_S


def _tester_in(row: asyncpg.Record) -> Tester:
    regions = row["regions"]
    return Tester(row["id"], row["name"], None if regions is None else frozenset(regions))
