"""One standby, while a process reads from it; and what the process knows of the primary."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError
from orchboard.runtime.tasks import cancel_and_wait, consume_exception
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.wal_position import position_of
from orchboard.store.sql_files import sql


class StandbyError(DatabaseUnavailableError):
    """A standby can't answer now: it is away, or has not replayed what the answer must have. The primary may."""


class NotAStandbyError(StandbyError):
    """The host must not be read from. The message says why, and what to do."""


class PrimaryError(NotAStandbyError):
    """The host is the primary itself, which answers anyway: nothing to do."""


class ServerIdentity(NamedTuple):
    """A database of a running server. system -- its cluster, which standbys share; database -- its name, which they share too"""

    system: int
    started_at: datetime
    database: str


def identity_of(row: asyncpg.Record) -> ServerIdentity:
    """The server that answered. row -- of `standby_position`"""
    return ServerIdentity(row["system"], row["started_at"], row["database"])


def check_standby(name: str, row: asyncpg.Record, primary: ServerIdentity) -> None:
    """Raise NotAStandbyError for a server that must not be read from. row -- of `standby_position`; name -- see Standby"""
    identity = identity_of(row)
    if identity == primary:
        raise PrimaryError(f"{name} is the primary, which answers when no standby does")
    if identity.system != primary.system:
        raise NotAStandbyError(
            f"{name} belongs to another cluster than POSTGRES: its system identifier differs. "
            "Name streaming standbys of this primary. Logical replicas and restored copies are not supported"
        )
    if identity.database != primary.database:
        raise NotAStandbyError(
            f"{name} is another database than POSTGRES, of the same cluster. Name the database of POSTGRES"
        )
    if not row["in_recovery"]:
        raise NotAStandbyError(
            f"{name} is not a standby: it is not in recovery. Name streaming standbys of this primary; "
            "a former primary must be made a standby again with pg_rewind or pg_basebackup"
        )


class Standby:
    """A standby from when it was chosen until it is left. Then its statements fail, and it is not used again.

    What was read from it is held only while it is used: another standby, or this one restarted, may have replayed less.

    name -- for messages, which name no hosts: see `standby_name`
    replayed -- it has replayed everything before this position
    is_behind -- whether it did not replay in time what an answer had to have; ends when it has
    gap -- number of transactions from the oldest that may be running on
    """

    def __init__(
        self,
        name: str,
        database: Database,
        *,
        primary: ServerIdentity,
        timeline: Callable[[], int],
        needed: Callable[[], int],
        complete_until: Callable[[], datetime | None],
    ) -> None:
        """primary -- at the time of the choice; timeline -- of the primary; needed -- the position that every answer must have"""
        self.name = name
        self.database = database
        self._primary = primary
        self._timeline = timeline
        self._needed = needed
        self.complete_until = complete_until
        self.replayed = 0
        self.gap = 0
        self.is_behind = False
        self.identity: ServerIdentity | None = None
        self._asking: asyncio.Task[None] | None = None
        self._left: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_usable(self) -> bool:
        """Whether to read from it, by what is known."""
        return not (self._left.done() or self.is_behind or self.gap > limits.STANDBY_GAP_TRANSACTIONS)

    async def fetch(
        self,
        statement: str,
        *arguments: Any,
        patience_s: float = 0,  # noqa: ARG002 - see Reads
    ) -> list[asyncpg.Record]:
        """The rows of one statement, which sees everything before the position that is needed now.

        patience_s -- not used: the primary answers at once when a standby is away
        Raises StandbyError, and what `Database.fetch` raises.
        """
        while True:
            await self.wait_until_replayed()
            opened = self.database.opened
            rows = await self._unless_left(self.database.fetch(statement, *arguments, patience_s=0))
            if self.database.opened == opened:
                return rows
            # A new connection may be to a server that was restarted and has replayed less.
            await self.ask()

    async def wait_until_replayed(self) -> None:
        """Wait for at most STANDBY_WAIT_S until it has replayed what is needed. Raises StandbyError."""
        needed = self._needed()
        if self.replayed >= needed:
            return
        deadline, pause_s = time.monotonic() + limits.STANDBY_WAIT_S, 0.001
        while True:
            await self.ask()
            if self.replayed >= needed:
                return
            if time.monotonic() + pause_s > deadline:
                self.is_behind = True
                raise StandbyError(f"{self.name} has not replayed a result that is stored")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.016)

    async def ask(self) -> None:
        """Ask how far it has replayed (single-flight). Raises StandbyError, and what `Database.fetch` raises."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(consume_exception)
        await asyncio.shield(self._asking)

    async def _ask(self) -> None:
        timeline = self._timeline()
        [row] = await self._unless_left(self.database.fetch(sql("standby_position"), patience_s=0))
        identity = identity_of(row)
        replayed = position_of(timeline, row["lsn"] or 0)
        if self.identity not in (None, identity) or replayed < self.replayed:
            self.leave()
            raise StandbyError(f"another server answers as {self.name}, or it was restarted")
        self.identity = identity
        try:
            check_standby(self.name, row, self._primary)
        except NotAStandbyError:
            self.leave()
            raise
        self.replayed, self.gap = replayed, row["gap"]
        if self.is_behind and replayed >= self._needed():
            self.is_behind = False

    async def _unless_left(self, fetching: Any) -> list[asyncpg.Record]:
        task = asyncio.ensure_future(fetching)
        try:
            await asyncio.wait((task, self._left), return_when=asyncio.FIRST_COMPLETED)
            if self._left.done():
                raise StandbyError(f"{self.name} is away")
            rows: list[asyncpg.Record] = task.result()
            return rows
        finally:
            if not task.done():
                await cancel_and_wait([task])
            else:
                consume_exception(task)

    async def close(self) -> None:
        """Leave it, and close its connections within seconds."""
        self.leave()
        if self._asking is not None:
            await cancel_and_wait([self._asking])
        await self.database.close()

    def leave(self) -> None:
        """Use it no more: statements on it fail at once."""
        if not self._left.done():
            self._left.set_result(None)
