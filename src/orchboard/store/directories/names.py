"""A cache of the names of orchestrators, by address."""

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime

import structlog
from msgspec import Struct

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError
from orchboard.runtime.tasks import consume_exception
from orchboard.store.change_tracking.version_counters import EVERYTHING, VersionCounters
from orchboard.store.postgres.database import Database
from orchboard.store.sql_files import sql

log = structlog.get_logger(__name__)


class ListedName(Struct, frozen=True):
    """A name as listed for operators.

    address -- of the orchestrator, in lower case
    source -- `operator`: set by a command; `url`: fetched from NAMES_URL
    updated_at -- when this name was set
    """

    address: str
    name: str
    source: str
    updated_at: datetime


class StoredNames(Struct, frozen=True):
    """What storing names changed: numbers of names."""

    added: int
    changed: int
    unchanged: int


class NameDirectory:
    """The table `orchestrator_names`, at most NAMES_STALENESS_S old; older while the database is unavailable.

    Includes a name that another worker of this server stores at once, as that bumps a shared version counter. Methods
    take addresses in lower case and names as `parse_name` returns them; all but `current` raise
    DatabaseUnavailableError.
    """

    def __init__(self, database: Database, changes: VersionCounters | None = None) -> None:
        self._database = database
        self._changes = changes or VersionCounters.alone()
        self._token_now = self._changes.version_reader(EVERYTHING)
        self._token: object = None
        self._names: Mapping[str, str] = {}
        self._fresh_until = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._is_failing = False

    async def current(self) -> Mapping[str, str]:
        """Names by address in lower case. Must not be modified.

        The last known names if they can't be read, and none if they were never read: a page without names is better
        than none. Single-flight: concurrent callers share one query.
        """
        if time.monotonic() >= self._fresh_until or self._token != self._token_now():
            await self._refresh()
        return self._names

    async def fetch(self) -> tuple[ListedName, ...]:
        """All names, sorted by address."""
        rows = await self._database.fetch(sql("orchestrator_names"))
        return tuple(
            ListedName(row["orchestrator"], row["name"], row["source"], row["updated_at"]) for row in rows
        )

    async def set(self, address: str, name: str) -> None:
        """Set the name of an orchestrator. It takes precedence over a name of NAMES_URL."""
        await self.import_names({address: name})

    async def import_names(self, names: Mapping[str, str]) -> StoredNames:
        """Set the names of orchestrators by address, all or none."""
        [row] = await self._database.fetch(sql("set_names"), list(names), list(names.values()))
        self._changes.invalidate_all()
        return StoredNames(row["added"], row["changed"], row["unchanged"])

    async def remove(self, address: str) -> str | None:
        """Remove the name of an orchestrator. Returns the source of the name; None if it had none."""
        rows = await self._database.fetch(sql("delete_name"), address)
        self._changes.invalidate_all()
        return rows[0]["source"] if rows else None

    async def replace_fetched(self, names: Mapping[str, str]) -> tuple[int, int]:
        """Replace the names of NAMES_URL. An orchestrator keeps a name that the operator has set.

        Returns the numbers of names that are new or changed, and that are removed.
        """
        [row] = await self._database.fetch(sql("replace_fetched_names"), list(names), list(names.values()))
        if row["stored"] or row["removed"]:
            self._changes.invalidate_all()
        return row["stored"], row["removed"]

    async def _refresh(self) -> None:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(consume_exception)
        try:
            async with asyncio.timeout(limits.READ_RETRY_S):
                await asyncio.shield(self._reading)
        except (DatabaseUnavailableError, TimeoutError):
            self._token = self._token_now()
            self._fresh_until = time.monotonic() + limits.NAMES_STALENESS_S
            if not self._is_failing:
                self._is_failing = True
                log.warning("the names of orchestrators could not be read", known=len(self._names))

    async def _read(self) -> None:
        began_at, token = time.monotonic(), self._token_now()
        rows = await self._database.fetch(sql("orchestrator_names"), patience_s=0)
        self._names = {row["orchestrator"]: row["name"] for row in rows}
        self._token, self._fresh_until = token, began_at + limits.NAMES_STALENESS_S
        self._is_failing = False
