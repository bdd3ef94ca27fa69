"""The spool: acknowledged results on a disk of ours while the database is away. Off the event loop."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import structlog
from msgspec import Struct

from orchboard.errors import DatabaseUnavailableError, Refusal, SetupError
from orchboard.store.spool.location import why_not_writable
from orchboard.store.spool.sqlite_file import ROW_BYTES, Depth, Numbered, Spooled, SpoolFile

T = TypeVar("T")
log = structlog.get_logger(__name__)

# Limit on results held in memory while they wait for the database or the disk.
MAX_WAITING_BYTES = 64 * 1024 * 1024


class SpoolError(Exception):
    """The file can't be read or written; the cause is a sqlite3.Error, an OSError or a SetupError."""


class SpoolState(Struct, frozen=True):
    """How a spool is.

    depth -- what is in it
    used -- how much of its bound is taken, from 0 to 1
    is_writable -- whether it takes results, as far as can be known without one
    """

    depth: Depth
    used: float
    is_writable: bool = True


NOTHING_SPOOLED = SpoolState(Depth(0, None, 0), 0.0)


class Spool:
    """One process's way to the spool's file: a thread, and one fsync for all results that wait for it.

    path -- shared by the workers of a server; made when it is first needed
    is_away -- whether results go here at once, without trying the database
    depth -- how many results wait there, as far as this process knows
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self._file = SpoolFile(path, max_bytes=max_bytes)
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._coming: list[tuple[Spooled, asyncio.Future[None]]] = []
        self._coming_bytes = 0
        self._adding: asyncio.Task[None] | None = None
        self._refused = 0  # since a write failed, and none has succeeded
        self._away_since = 0.0
        self._kept_away = 0
        self.has_rows = asyncio.Event()
        self.is_away = False
        self.depth = 0

    @property
    def is_there(self) -> bool:
        """Whether there is a file, from this process or one before."""
        return self._file.is_there

    def note_away(self) -> None:
        """From now on results go here at once: the database can't take them."""
        if not self.is_away:
            self.is_away, self._away_since, self._kept_away = True, time.monotonic(), 0
            log.warning("results go to the spool: the database can't take them")

    def note_back(self) -> None:
        """From now on results go to the database again."""
        if self.is_away:
            self.is_away = False
            after_s = round(time.monotonic() - self._away_since, 1)
            log.warning("the database takes results again", after_s=after_s, spooled=self._kept_away)

    def add(self, result: Spooled) -> asyncio.Future[None]:
        """Keep a result; done when it is on the disk. Needs a running loop.

        The future raises DatabaseUnavailableError when it can't be kept, KeyReusedError for a key that is here
        with another body.
        """
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._coming_bytes > MAX_WAITING_BYTES:
            kept.set_exception(
                DatabaseUnavailableError("too many results are waiting to be stored; try again")
            )
            return kept
        self._coming.append((result, kept))
        self._coming_bytes += len(result.payload) + ROW_BYTES
        if self._adding is None:
            self._adding = asyncio.create_task(self._add())
        return kept

    async def _add(self) -> None:
        try:
            while self._coming:
                coming, self._coming, self._coming_bytes = self._coming, [], 0
                outcomes = await self._kept([result for result, _ in coming])
                for (_, kept), outcome in zip(coming, outcomes, strict=True):
                    _settle(kept, outcome)
        finally:
            self._adding = None

    async def _kept(self, results: Sequence[Spooled]) -> Sequence[Refusal | None]:
        try:
            outcomes = await self._call(self._file.add, results)
        except Exception as error:  # whatever it was, whoever waits is told that nothing was kept
            self._refused += len(results)
            log.warning("the spool can't be written: results are refused", error=str(error))
            return [
                DatabaseUnavailableError(
                    "the database is unavailable and the result can't be spooled; try again"
                )
            ] * len(results)
        if self._refused:
            log.warning("the spool can be written again", refused=self._refused)
            self._refused = 0
        kept = outcomes.count(None)
        self.depth += kept
        self._kept_away += kept
        if self.depth:
            self.has_rows.set()
        return outcomes

    async def oldest(self, max_rows: int, max_bytes: int) -> list[Numbered]:
        """As SpoolFile's; raises SpoolError, as the following do."""
        return await self._call(self._file.oldest, max_rows, max_bytes)

    async def name(self, results: Sequence[Numbered], ids: Sequence[int]) -> list[Numbered]:
        """As SpoolFile's."""
        return await self._call(self._file.name, results, ids)

    async def remove(self, results: Sequence[Numbered]) -> None:
        """As SpoolFile's."""
        await self._call(self._file.remove, [result.number for result in results])

    async def dead_letter(self, reasons: Sequence[tuple[int, str]]) -> None:
        """As SpoolFile's."""
        await self._call(self._file.dead_letter, reasons)

    async def state(self) -> SpoolState:
        """How it is now; empty, when there never was a file. Raises SpoolError when it can't be read."""
        state = await self._call(self._state)
        self.depth = state.depth.waiting
        if self.depth:
            self.has_rows.set()
        return state

    def _state(self) -> SpoolState:
        """A spool that could not be written is tried again."""
        is_writable = why_not_writable(self._file.path) is None
        if self._refused and is_writable:
            try:
                self._file.try_to_write()
            except (sqlite3.Error, OSError, SetupError):
                is_writable = False
        if not self._file.is_there:
            return SpoolState(NOTHING_SPOOLED.depth, 0.0, is_writable)
        return SpoolState(self._file.depth(), self._file.used_bytes() / self._max_bytes, is_writable)

    async def give_back(self) -> None:
        """As SpoolFile's."""
        await self._call(self._file.give_back)

    def turn(self) -> "Turn":
        """A block in which no other worker stores what is in the spool."""
        return Turn(self._file)

    async def close(self) -> None:
        """Keep what comes, and close the file."""
        if self._adding is not None:
            await asyncio.wait([self._adding])
        with suppress(SpoolError):
            await self._call(self._file.close)
        self._thread.shutdown()

    async def _call(self, function: Callable[..., T], *arguments: object) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
        except SetupError as error:
            raise SpoolError(str(error)) from error
        except (sqlite3.Error, OSError) as error:
            raise SpoolError(f"{type(error).__name__}: {error}") from error


class Turn:
    """`async with … as is_ours`: see SpoolFile.turn."""

    def __init__(self, file: SpoolFile) -> None:
        self._turn = file.turn()

    async def __aenter__(self) -> bool:
        try:
            return self._turn.__enter__()
        except OSError as error:
            raise SpoolError(f"{type(error).__name__}: {error}") from error

    async def __aexit__(self, *_: object) -> None:
        self._turn.__exit__(None, None, None)


def _settle(kept: asyncio.Future[None], outcome: Refusal | None) -> None:
    if kept.done():
        return
    if outcome is None:
        kept.set_result(None)
    else:
        kept.set_exception(outcome)
        kept.exception()  # nobody may be waiting, which asyncio would log
