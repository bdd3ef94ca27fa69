"""The answers that are still true: one computation however many ask, within a bound of memory."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Hashable

from orchboard.answers.answer import Answer, Streamed, Variant
from orchboard.answers.cached_query import CachedQuery
from orchboard.errors import ClientBusyError
from orchboard.runtime.tasks import consume_exception
from orchboard.store.change_tracking.external_writes import EXTERNAL_STALENESS_S, ExternalWriteDetector
from orchboard.store.change_tracking.version_counters import EVERYTHING, VersionCounters

# What an entry weighs beside its bodies and its key: 2.2 kB measured with tracemalloc, 0.8 more with an encoding.
_ENTRY_BYTES = 3000

# The oldest answer that is given while the database is away.
STALE_S = 24 * 3600.0

# An answer bigger than this part of the cache would push out everything else.
_LARGEST_PART = 4


class Entry:
    """A question's place in the cache. Gone from the cache, it has no answer any more.

    used -- whether somebody asked since the cache last looked for what it can do without
    """

    __slots__ = (
        "answer", "answered_at", "computation", "external_version", "fresh_until", "key", "key_bytes", "size", "token",
        "token_now", "true_until", "used",
    )  # fmt: skip

    def __init__(self, query: CachedQuery, changes: VersionCounters) -> None:
        self.key = query.key
        self.key_bytes = len(repr(query.key).encode("utf-8", "surrogatepass"))
        self.token_now = changes.version_reader(EVERYTHING, *query.version_keys)
        self.answer: Answer | None = None
        self.computation: Computation | None = None
        self.token: object = None
        self.external_version = 0
        self.answered_at = self.fresh_until = self.true_until = -math.inf
        self.size = 0
        self.used = False  # asked once is not asked again


class Computation:
    """An answer in the making, and what was known when it began."""

    def __init__(self, query: CachedQuery, token: object, external_version: int) -> None:
        self.began_at = time.monotonic()
        self.token = token
        self.external_version = external_version
        self.query = query
        self.task: asyncio.Task[Answer | Streamed]


class AnswerCache:
    """The cache of one process.

    max_bytes -- of all bodies in all their encodings
    computed -- how many answers were computed so far
    """

    def __init__(
        self, changes: VersionCounters, external_writes: ExternalWriteDetector, *, max_bytes: int
    ) -> None:
        self._changes = changes
        self._external_writes = external_writes
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self.size = 0
        self.computed = 0

    async def get(self, query: CachedQuery) -> Answer | Streamed:
        """The answer, from memory if it is true; never kept when it is streamed.

        Raises the Refusal that the computation ends in.
        """
        came_at, entry = time.monotonic(), self._entry(query)
        valid_until = max(entry.fresh_until, self._external_writes.valid_until)
        if entry.answer is not None and valid_until <= came_at < entry.true_until:
            await self._external_writes.check()
        if entry.answer is not None and self.is_true(entry, time.monotonic()):
            return entry.answer
        while (running := entry.computation) is not None:
            entry.used = True
            if running.began_at >= came_at or self._is_recent(running, entry, came_at):
                try:
                    return await asyncio.shield(running.task)
                except ClientBusyError:  # another client has too much under way, if it is not ours
                    break
            await asyncio.wait([running.task])  # what it finds may be older than who asks now
        return await asyncio.shield(self._compute(entry, query).task)

    def _is_recent(self, running: "Computation", entry: Entry, came_at: float) -> bool:
        """Whether what a computation finds, begun before somebody came, is new enough for him."""
        unseen_s = EXTERNAL_STALENESS_S if running.query.depends_on_database else math.inf
        return (
            came_at < running.began_at + unseen_s
            and running.external_version == self._external_writes.version
            and running.token == entry.token_now()
        )

    def is_true(self, entry: Entry, now: float) -> bool:
        """Whether an entry's answer may be given again at `now`, on time.monotonic's clock."""
        external_writes = self._external_writes
        if now > external_writes.due_at:
            external_writes.begin_check()
        entry.used = True
        return (
            now < entry.true_until
            and (now < external_writes.valid_until or now < entry.fresh_until)
            and entry.external_version == external_writes.version
            and entry.token == entry.token_now()
        )

    def stale_answer(self, query: CachedQuery) -> tuple[Answer, float] | None:
        """The answer given last, and how long ago it was known to be true, in seconds; None without one of STALE_S.

        For when the database is away.
        """
        entry = self._entries.get(query.key)
        if entry is None or entry.answer is None:
            known = query.last_known()
            found = known and (Answer(known[0], query.headers), known[1])
        else:
            known_at = entry.answered_at
            if entry.external_version == self._external_writes.version and entry.token == entry.token_now():
                known_at = max(
                    known_at, min(self._external_writes.valid_until - EXTERNAL_STALENESS_S, entry.true_until)
                )
            found = entry.answer, time.monotonic() - known_at
        return found if found is not None and found[1] <= STALE_S else None

    def find(self, query: CachedQuery) -> Entry | None:
        """A question's entry, if it has one."""
        return self._entries.get(query.key)

    async def variant(self, query: CachedQuery, answer: Answer, encoding: str) -> Variant:
        """The answer in an encoding, which is kept with it."""
        made = answer.made(encoding)
        if made is None:
            made = await answer.variant(encoding)
            entry = self.find(query)
            if entry is not None and entry.answer is answer:
                self._weigh(entry)
        return made

    def _entry(self, query: CachedQuery) -> Entry:
        entry = self._entries.get(query.key)
        if entry is None:
            entry = self._entries[query.key] = Entry(query, self._changes)
            self._weigh(entry)
        return entry

    def _compute(self, entry: Entry, query: CachedQuery) -> Computation:
        computation = Computation(query, entry.token_now(), self._external_writes.version)
        computation.task = asyncio.create_task(self._answer(entry, computation))
        computation.task.add_done_callback(consume_exception)
        entry.computation = computation
        return computation

    async def _answer(self, entry: Entry, computation: Computation) -> Answer | Streamed:
        query = computation.query
        self.computed += 1
        try:
            body = await query.compute()
        except BaseException:
            if entry.answer is None:
                self._remove(entry)
            raise
        finally:
            entry.computation = None
        if not isinstance(body, bytes):
            self._remove(entry)
            return Streamed(body, query.headers)
        before = entry.answer
        answer = before if before is not None and before.body == body else Answer(body, query.headers)
        if self._entries.get(entry.key) is entry:
            self._keep(entry, computation, answer)
        return answer

    def _keep(self, entry: Entry, computation: Computation, answer: Answer) -> None:
        entry.answer, entry.token, entry.external_version = (
            answer,
            computation.token,
            computation.external_version,
        )
        entry.answered_at = computation.began_at
        entry.true_until = computation.began_at + computation.query.max_age_s
        entry.fresh_until = (
            computation.began_at + EXTERNAL_STALENESS_S if computation.query.depends_on_database else math.inf
        )
        self._weigh(entry)

    def _weigh(self, entry: Entry) -> None:
        """Count an entry anew, and make room for it."""
        size = _ENTRY_BYTES + entry.key_bytes
        if entry.answer is not None:
            size += entry.answer.size
        self.size += size - entry.size
        entry.size = size
        if size > self._max_bytes // _LARGEST_PART:
            self._remove(entry)
        while self.size > self._max_bytes:
            oldest = next(iter(self._entries.values()))
            if oldest.used or oldest is entry:
                oldest.used = False
                self._entries.move_to_end(oldest.key)
            else:
                self._remove(oldest)

    def _remove(self, entry: Entry) -> None:
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
            self.size -= entry.size
        entry.answer = None
