"""LiveHub: reads what is new once for all listeners of this process, and passes it on.

It reads only while there are listeners: when the version counters say that this host stored results, and every STREAM_POLL_S
for those of others.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress

import structlog

from orchboard import limits
from orchboard.errors import Refusal
from orchboard.leaderboard import Leaderboard
from orchboard.live.events import (
    RANK,
    Chunk,
    Selection,
    joined,
    position_chunk,
    rank_chunk,
    result_chunk,
)
from orchboard.live.follower import NewResultFollower, end_of
from orchboard.live.listener import Listener
from orchboard.live.ranks import Ranking, changes, fetch_ranking
from orchboard.runtime.tasks import cancel_and_wait
from orchboard.stats import JobType
from orchboard.store.postgres.admission import Admission, set_client
from orchboard.store.raw_results.cursor import Cursor
from orchboard.store.raw_results.new_results import NewResult, Position

log = structlog.get_logger(__name__)

# Listeners, or different selections, that are served before the event loop turns to other work.
_AT_ONCE = 20

# So much longer between two readings for each listener: each costs a write to its socket.
_S_PER_LISTENER = 0.0004

# Listeners that read what they missed at the same time: each holds a page of results meanwhile.
_RESUMING = 8


class LiveHub:
    """The listeners of this process, by what they want."""

    def __init__(self, board: Leaderboard) -> None:
        self._board = board
        self._groups: dict[Selection, set[Listener]] = {}
        self._follower: NewResultFollower | None = None
        self._reading = asyncio.Lock()
        self._resuming = asyncio.Semaphore(_RESUMING)
        self._running: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._read_at = -math.inf  # when the last complete reading began, by time.monotonic
        self.admission = Admission(limits.MAX_LISTENERS, share=limits.MAX_LISTENERS // 2)

    @property
    def listeners(self) -> int:
        """The number of listeners."""
        return sum(map(len, self._groups.values()))

    async def stream(self, listener: Listener, cursor: Cursor | None) -> AsyncGenerator[Chunk, None]:
        """What a listener receives, until `listener.end()` or `stop`.

        cursor -- after which it resumes; None: it begins now
        Raises DatabaseUnavailableError, after the first chunk only in the middle of what is resumed, and SlowListenerError.
        """
        try:
            reader = self._board.store.new_results
            is_behind = cursor is not None
            while cursor is not None and is_behind and not listener.is_ended:
                # Not a listener yet: what comes meanwhile would have to wait in memory.
                position = await reader.fetch_position()
                pages = 0
                async for chunk in self._missed(listener, reader.pages_between(cursor, position)):
                    pages += 1
                    yield chunk
                cursor, is_behind = end_of(position, cursor.floor), pages > 1
            end = await self._join(listener, is_resuming=cursor is not None)
            if cursor is not None:
                rest = reader.pages_between(cursor, Position(end.before, end.event_time))
                async for chunk in self._missed(listener, rest):
                    yield chunk
            if not listener.is_ended:
                yield position_chunk(end, "live")
            while (chunk_or_end := await listener.next_chunk()) is not None:
                yield chunk_or_end
        finally:
            self._leave(listener)

    async def _missed(
        self, listener: Listener, pages: AsyncGenerator[list[NewResult], None]
    ) -> AsyncGenerator[Chunk, None]:
        """What a listener has missed: a chunk for each page, with its position if nothing of it is wanted. Ends with the stream."""
        async with aclosing(pages):
            while not listener.is_ended:
                async with self._resuming:
                    page = await anext(pages, None)
                    if page is None:
                        return
                    chunk = _results_chunk(listener.selection, page)
                    chunk = chunk if chunk.events else position_chunk(page[-1].cursor, "resuming")
                    del page  # a slow client would keep it in memory
                if self._is_stopped:
                    listener.end()
                    return
                yield chunk

    def stop(self) -> None:
        """End all streams, at once; later ones end when they begin."""
        self._is_stopped = True
        for listener in self._all():
            listener.end()

    async def close(self) -> None:
        """Stop reading."""
        self.stop()
        if self._running is not None:
            await cancel_and_wait([self._running])

    async def _join(self, listener: Listener, *, is_resuming: bool) -> Cursor:
        """Add a listener, which gets all that is read from now on; returns the cursor before that.

        One that resumes waits for a reading, so that the cursor of another worker is not ahead of this one's.
        """
        joined_at = time.monotonic()
        async with self._reading:
            follower = self._follower
            if follower is None:
                reader = self._board.store.new_results
                follower = NewResultFollower(reader, await reader.fetch_position())
            elif is_resuming and (
                self._read_at < joined_at or follower.cursor.within != follower.cursor.before
            ):
                await self._read(follower)
            self._follower = follower
            self._groups.setdefault(listener.selection, set()).add(listener)
        if self._is_stopped:
            listener.end()
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return follower.cursor

    def _leave(self, listener: Listener) -> None:
        group = self._groups.get(listener.selection, set())
        group.discard(listener)
        if not group:
            self._groups.pop(listener.selection, None)

    async def _run(self) -> None:
        """Read and pass on, while there are listeners."""
        set_client("")  # not for the listener that came first
        try:
            async with asyncio.TaskGroup() as tasks:
                work = (self._follow(), self._keep_alive(), self._follow_ranks())
                started = [tasks.create_task(each) for each in work]
                while self._groups:  # noqa: ASYNC110 - an event would be set and cleared with every listener
                    await asyncio.sleep(limits.STREAM_POLL_S)
                for task in started:
                    task.cancel()
        except* Exception:
            log.exception("the live stream failed; its listeners will reconnect")
            for listener in self._all():
                listener.end()
            self._groups, self._follower = {}, None
        if self._groups and not self._is_stopped:  # one has joined while the tasks ended
            self._running = asyncio.create_task(self._run())
        else:
            self._follower = self._running = None

    async def _follow(self) -> None:
        read_versions = self._board.store.read_versions
        while True:
            versions, due_at = read_versions(), time.monotonic() + limits.STREAM_POLL_S
            with suppress(Refusal):  # the database is away; the next reading goes on where this one ended
                async with self._reading:
                    if self._follower is not None:
                        await self._read(self._follower)
            await asyncio.sleep(limits.STREAM_SEND_S + _S_PER_LISTENER * self.listeners)
            while versions == read_versions() and time.monotonic() < due_at:  # noqa: ASYNC110 - shared memory
                await asyncio.sleep(limits.STREAM_WAKE_S)

    async def _read(self, follower: NewResultFollower) -> None:
        began_at = time.monotonic()
        async for page in follower.read():
            await self._pass_on(page)
        self._read_at = began_at

    async def _pass_on(self, page: list[NewResult]) -> None:
        encoded = [(result, result_chunk(result)) for result in page]
        for number, selection in enumerate(list(self._groups), 1):
            if not number % _AT_ONCE:
                await asyncio.sleep(0)
            chunk = joined(data for result, data in encoded if selection.wants_result(result))
            await self._push(self._groups.get(selection, ()), chunk)

    async def _push(self, listeners: Iterable[Listener], chunk: Chunk) -> None:
        for number, listener in enumerate(list(listeners) if chunk.data else [], 1):
            if not number % _AT_ONCE:
                await asyncio.sleep(0)
            listener.push(chunk)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(limits.STREAM_KEEP_ALIVE_S)
            async with (
                self._reading
            ):  # else a listener would get a cursor before the results that it stands for
                if self._follower is not None:
                    await self._push(self._all(), position_chunk(self._follower.cursor, "keep-alive"))

    async def _follow_ranks(self) -> None:
        known: dict[JobType, Ranking] = {}
        while True:
            for job_type in JobType:
                if not self._wants_ranks(job_type):
                    known.pop(job_type, None)
                    continue
                with suppress(Refusal):
                    ranking = await fetch_ranking(self._board, job_type)
                    if job_type in known:
                        await self._pass_on_ranks(job_type, known[job_type], ranking)
                    known[job_type] = ranking
            await asyncio.sleep(limits.STREAM_RANKS_S)

    async def _pass_on_ranks(self, job_type: JobType, old: Ranking, new: Ranking) -> None:
        encoded = [(event, rank_chunk(event)) for event in changes(job_type, old, new)]
        for selection in list(self._groups):
            chunk = joined(data for event, data in encoded if selection.wants_rank(event))
            await self._push(self._groups.get(selection, ()), chunk)

    def _wants_ranks(self, job_type: JobType) -> bool:
        return any(
            RANK in selection.names and selection.query.job_type in (None, job_type)
            for selection in self._groups
        )

    def _all(self) -> list[Listener]:
        return [listener for group in self._groups.values() for listener in group]


def _results_chunk(selection: Selection, page: list[NewResult]) -> Chunk:
    return joined(result_chunk(result) for result in page if selection.wants_result(result))
