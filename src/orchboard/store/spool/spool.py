"""The spool of one process: acknowledged submissions on the local disk, written and read off the event loop."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import structlog
from msgspec import Struct

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError, Refusal, SetupError
from orchboard.results.submission import Submission
from orchboard.store.spool.location import why_not_writable
from orchboard.store.spool.sqlite_file import ROW_BYTES, Depth, SpooledSubmission, SpoolFile

T = TypeVar("T")
log = structlog.get_logger(__name__)


class SpoolError(Exception):
    """The file can't be read or written; the cause is a sqlite3.Error, an OSError or a SetupError."""


class SpoolState(Struct, frozen=True):
    """The state of a spool.

    depth -- its contents
    used_ratio -- used share of its maximum size, from 0 to 1
    is_writable -- whether it accepts submissions, as far as can be known without adding one
    """

    depth: Depth
    used_ratio: float
    is_writable: bool = True


NOTHING_SPOOLED = SpoolState(Depth(0, None, 0), 0.0)


class Spool:
    """Access to the spool's file from one thread, with one fsync for all submissions that wait for it.

    path -- shared by the workers of a server; created when it is first needed
    depth -- number of waiting submissions, as far as this process knows
    has_rows -- set when the spool is known to be non-empty; the replay clears it and waits for it
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self._file = SpoolFile(path, max_bytes=max_bytes)
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._queue: list[tuple[Submission, asyncio.Future[None]]] = []
        self._queue_bytes = 0
        self._adding: asyncio.Task[None] | None = None
        self._refused = 0  # since the last successful write
        self.has_rows = asyncio.Event()
        self.depth = 0

    @property
    def exists(self) -> bool:
        """Whether there is a file, created by this process or an earlier one."""
        return self._file.exists

    def add(self, submission: Submission) -> asyncio.Future[None]:
        """Write a submission; the future is done when it is on the disk. Needs a running loop.

        The future raises DatabaseUnavailableError when it can't be written, KeyReusedError for an Idempotency-Key that is
        in the spool with another body.
        """
        spooled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._queue_bytes > limits.MAX_WAITING_BYTES:
            spooled.set_exception(
                DatabaseUnavailableError("too many results are waiting to be stored; try again")
            )
            return spooled
        self._queue.append((submission, spooled))
        self._queue_bytes += len(submission.parsed.payload) + ROW_BYTES
        if self._adding is None:
            self._adding = asyncio.create_task(self._add())
        return spooled

    async def _add(self) -> None:
        try:
            while self._queue:
                batch, self._queue, self._queue_bytes = self._queue, [], 0
                outcomes = await self._write([submission for submission, _ in batch])
                for (_, spooled), outcome in zip(batch, outcomes, strict=True):
                    _resolve(spooled, outcome)
        finally:
            self._adding = None

    async def _write(self, submissions: Sequence[Submission]) -> Sequence[Refusal | None]:
        try:
            outcomes = await self._call(self._file.add, submissions)
        except Exception as error:  # of any kind: the senders must be told that nothing was stored
            self._refused += len(submissions)
            log.warning("the spool can't be written: results are refused", error=str(error))
            refusal = "the database is unavailable and the result can't be spooled; try again"
            return [DatabaseUnavailableError(refusal)] * len(submissions)
        if self._refused:
            log.warning("the spool can be written again", refused=self._refused)
            self._refused = 0
        self.depth += outcomes.count(None)
        if self.depth:
            self.has_rows.set()
        return outcomes

    async def oldest(self, max_rows: int, max_bytes: int) -> list[SpooledSubmission]:
        """See SpoolFile. This and the following methods raise SpoolError."""
        return await self._call(self._file.oldest, max_rows, max_bytes)

    async def assign_ids(
        self, spooled: Sequence[SpooledSubmission], ids: Sequence[int]
    ) -> list[SpooledSubmission]:
        """See SpoolFile."""
        return await self._call(self._file.assign_ids, spooled, ids)

    async def remove(self, spooled: Sequence[SpooledSubmission]) -> None:
        """See SpoolFile."""
        await self._call(self._file.remove, [one.number for one in spooled])

    async def dead_letter(self, reasons: Sequence[tuple[int, str]]) -> None:
        """See SpoolFile."""
        await self._call(self._file.dead_letter, reasons)

    async def state(self) -> SpoolState:
        """The current state; that of an empty spool if there was never a file."""
        state = await self._call(self._state)
        self.depth = state.depth.waiting
        if self.depth:
            self.has_rows.set()
        return state

    def _state(self) -> SpoolState:
        """After a failed write, try to write again."""
        is_writable = why_not_writable(self._file.path) is None
        if self._refused and is_writable:
            try:
                self._file.try_to_write()
            except (sqlite3.Error, OSError, SetupError):
                is_writable = False
        if not self._file.exists:
            return SpoolState(NOTHING_SPOOLED.depth, 0.0, is_writable)
        return SpoolState(self._file.depth(), self._file.used_bytes() / self._max_bytes, is_writable)

    async def vacuum(self) -> None:
        """See SpoolFile."""
        await self._call(self._file.vacuum)

    @asynccontextmanager
    async def replay_lock(self) -> AsyncIterator[bool]:
        """See SpoolFile: whether this worker may replay."""
        lock = self._file.replay_lock()
        try:
            is_ours = lock.__enter__()
        except OSError as error:
            raise SpoolError(f"{type(error).__name__}: {error}") from error
        try:
            yield is_ours
        finally:
            lock.__exit__(None, None, None)

    async def close(self) -> None:
        """Write the queued submissions, and close the file."""
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


def _resolve(spooled: asyncio.Future[None], outcome: Refusal | None) -> None:
    if spooled.done():
        return
    if outcome is None:
        spooled.set_result(None)
    else:
        spooled.set_exception(outcome)
        spooled.exception()  # nobody may await it: keep asyncio from logging the exception
