"""StandbyReads: which server answers. Questions go to one standby, and to the primary when no standby can answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Protocol, TypeVar

import asyncpg
import structlog

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError, Refusal, SetupError
from orchboard.runtime.supervised_tasks import TaskHealth
from orchboard.store.connection.failover import Hosts
from orchboard.store.connection.failures import error_summary
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.reads import Reads
from orchboard.store.postgres.replay_lag import Lag, ReplayLag
from orchboard.store.postgres.standby import PrimaryError, ServerIdentity, Standby, StandbyError, identity_of
from orchboard.store.postgres.wal_position import position_of
from orchboard.store.sql_files import sql

T = TypeVar("T")
log = structlog.get_logger(__name__)

# What the running computation reads from; none outside of one.
_source: ContextVar[Reads | None] = ContextVar("source", default=None)


class Positions(Protocol):
    """The positions in the WAL that answers must have, of all workers."""

    def note_position(self, position: int) -> None:
        """See VersionCounters."""

    def needed_position(self) -> int:
        """See VersionCounters."""


class StandbyReads:
    """Reads from one of the standbys of POSTGRES_READ, or from the primary.

    This process stays with a standby until it is away, restarted or promoted. A standby that lags is kept; the primary answers
    until it has caught up.

    primary -- the database of POSTGRES
    positions -- VersionCounters
    first -- number of the standby to try first, so that workers differ
    standby -- the one in use; None while there is none
    computed -- how many computations have read the standby, and the primary
    why_primary -- why the primary answers, for an operator; empty while a standby does
    """

    def __init__(
        self,
        url: str,
        primary: Database,
        clock: DatabaseClock,
        positions: Positions,
        *,
        first: int = 0,
    ) -> None:
        """Raises SetupError for an invalid URL."""
        self._url = url
        self.primary = primary
        self._clock = clock
        self._positions = positions
        self._number = number_of_standbys(url)
        self._next = first % self._number
        self._snapshot = ""
        self._timeline = 0
        self._complete_until: datetime | None = None
        self._refused: dict[str, str] = {}
        self.standby: Standby | None = None
        self.why_primary = "no standby has answered yet"
        self.computed = [0.0, 0.0]
        self._lag = ReplayLag()

    # What the primary has

    async def fetch_snapshot(self) -> str:
        """A text that changes whenever a writing transaction of the primary ends, as `Store.fetch_snapshot`. Does not retry.

        When it has changed, every answer from now on has everything that was committed until now.
        """
        sent_at = time.monotonic()
        [row] = await self.primary.fetch(sql("primary_position"), patience_s=0)
        snapshot = str(row["snapshot"])
        if not row[
            "timeline"
        ]:  # a standby of POSTGRES, while no host accepts writes: nothing new is committed
            return snapshot
        self._clock.measure(row["now"], sent_at, time.monotonic())
        position = position_of(row["timeline"], row["lsn"])
        if snapshot != self._snapshot or row["timeline"] != self._timeline:
            self._snapshot, self._timeline = snapshot, row["timeline"]
            self._positions.note_position(position)
        self._lag.note_primary(position, sent_at)
        self._complete_until = row["now"]
        return snapshot

    # Which server answers

    @property
    def source(self) -> Reads | None:
        """What the running computation reads from; None outside of one."""
        return _source.get()

    async def run(self, compute: Callable[[], Awaitable[T]], *, is_confirmed: bool = True) -> T:
        """What a computation returns. All of it reads one server: the standby, or if that can't answer, the primary.

        is_confirmed -- whether `fetch_snapshot` has just told what the primary has; else the primary answers
        """
        standby = self.standby
        if is_confirmed and standby is not None and standby.is_usable:
            with reading_from(standby):
                try:
                    await standby.wait_until_replayed()
                    found = await compute()
                    self.computed[0] += 1
                    return found
                except DatabaseUnavailableError as error:
                    log.debug("the primary answers instead of the standby", because=str(error))
        self.computed[1] += 1
        with reading_from(self.primary):
            return await compute()

    async def run_without_primary(self, compute: Callable[[], Awaitable[T]]) -> T:
        """What a computation returns that reads the standby while the primary is away: it may lack what was committed since.

        Raises StandbyError without a standby.
        """
        standby = self.standby
        if standby is None or not standby.is_usable:
            raise StandbyError(self.why_primary)
        with reading_from(standby):
            return await compute()

    async def fetch(
        self, statement: str, *arguments: Any, patience_s: float = limits.READ_RETRY_S
    ) -> list[asyncpg.Record]:
        """The rows of one statement, for readers that hold nothing in memory. See Reads."""
        source = _source.get()
        if source is not None:
            return await source.fetch(statement, *arguments, patience_s=patience_s)
        standby = self.standby
        if standby is not None and standby.is_usable:
            try:
                return await standby.fetch(statement, *arguments)
            except DatabaseUnavailableError as error:
                log.debug("the primary answers instead of the standby", because=str(error))
        return await self.primary.fetch(statement, *arguments, patience_s=patience_s)

    def complete_until(self) -> datetime | None:
        """See Reads."""
        source = _source.get()
        return None if source is None else source.complete_until()

    # Which standby

    @property
    def lag(self) -> Lag:
        """How far the standby in use is behind the primary."""
        return self._lag.current

    async def keep(self, health: TaskHealth) -> None:
        """Choose a standby, check it, and choose another when it is away; until cancelled."""
        try:
            while True:
                await self._look()
                health.succeed()
                await asyncio.sleep(limits.STANDBY_CHECK_S)
        finally:
            await self._leave("the server is stopping")

    async def _look(self) -> None:
        with suppress(Refusal):  # requests that need the primary report it
            await self.fetch_snapshot()
        if self.standby is None:
            await self._choose()
        elif (because := await self._failure_of(self.standby)) is not None:
            await self._leave(str(because))
            await self._choose()
        standby = self.standby
        if standby is not None:
            self._lag.note_standby(standby.replayed, time.monotonic())
            self.why_primary = "" if standby.is_usable else f"{standby.name} lags"

    async def _failure_of(self, standby: Standby) -> Refusal | None:
        """Why a standby can't be used any more; None if it answers."""
        try:
            async with asyncio.timeout(limits.STANDBY_ANSWER_S):
                await standby.ask()
        except TimeoutError:
            return StandbyError(f"{standby.name} does not answer")
        except Refusal as error:
            if isinstance(cause := error.__cause__, Exception) and not isinstance(error, StandbyError):
                return StandbyError(f"{standby.name} fails: {error_summary(cause)}")
            return error
        return None

    async def _choose(self) -> None:
        """Use the first standby that answers and may be read from."""
        try:
            primary = await self._identity_of_primary()
        except Refusal:
            return
        if self.primary.kind.is_distributed:
            failure = StandbyError(
                "results on a Citus cluster are not read from standbys: remove POSTGRES_READ"
            )
            self._report(standby_name(0), failure)
            self.why_primary = str(failure)
            return
        for number in (*range(self._next, self._number), *range(self._next)):
            if await self._try(number, primary):
                return
        self.why_primary = "; ".join(self._refused.values())

    async def _try(self, number: int, primary: ServerIdentity) -> bool:
        """Use a host if it may be read from; whether it may."""
        standby = self._standby(number, primary)
        try:
            failure = await self._failure_of(standby)
            if failure is not None:
                self._report(standby.name, failure)
                return False
            self.standby, self._next = standby, number
        finally:
            if self.standby is not standby:  # also when the server stops meanwhile
                await standby.close()
        self._refused.pop(standby.name, None)
        self._lag = ReplayLag()
        log.info("questions go to a standby", standby=standby.name)
        return True

    def _report(self, name: str, failure: Refusal) -> None:
        """Log why a standby is not used, when that changes."""
        if self._refused.get(name) != str(failure):
            self._refused[name] = str(failure)
            if not isinstance(failure, PrimaryError):
                log.warning("a standby can't be read from", standby=name, because=str(failure))

    async def _leave(self, because: str) -> None:
        standby, self.standby = self.standby, None
        if standby is not None:
            log.warning("a standby is left", standby=standby.name, because=because)
            self.why_primary = because
            await standby.close()

    def _standby(self, number: int, primary: ServerIdentity) -> Standby:
        database = Database(
            self._url,
            connections=self.primary.max_connections,
            timeout_s=self.primary.timeout_s,
            migrates=False,
            hosts=Hosts(self._url, only=number),
        )
        return Standby(
            standby_name(number),
            database,
            primary=primary,
            timeline=lambda: self._timeline,
            needed=self._positions.needed_position,
            complete_until=lambda: self._complete_until,
        )

    async def _identity_of_primary(self) -> ServerIdentity:
        [row] = await self.primary.fetch(sql("standby_position"), patience_s=0)
        return identity_of(row)


class reading_from:  # noqa: N801 - a context manager
    """What is read within the block is read from one server."""

    def __init__(self, source: Reads) -> None:
        self._source = source

    def __enter__(self) -> None:
        self._token = _source.set(self._source)

    def __exit__(self, *_: object) -> None:
        _source.reset(self._token)


def standby_name(number: int) -> str:
    """What messages call a host of POSTGRES_READ. number -- from 0"""
    return f"host {number + 1} of POSTGRES_READ"


def number_of_standbys(url: str) -> int:
    """The number of hosts in POSTGRES_READ. Raises SetupError for an invalid URL."""
    try:
        return Hosts(url).number
    except SetupError as error:
        raise SetupError(str(error).replace("POSTGRES", "POSTGRES_READ", 1)) from None
