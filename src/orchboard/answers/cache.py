"""The answer cache: valid answers by query, computed once for all concurrent requests, within a bound of memory."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from orchboard import limits
from orchboard.answers.answer import (
    Answer,
    AnyAnswer,
    AnyBody,
    HeadedBody,
    Headers,
    Reply,
    Streamed,
    Variant,
    choose_encoding,
)
from orchboard.answers.cached_query import CachedQuery
from orchboard.answers.entry import Computation, Entry
from orchboard.errors import ClientBusyError, DatabaseUnavailableError, OverloadedError
from orchboard.runtime.counters import Counters
from orchboard.runtime.tasks import consume_exception
from orchboard.store.change_tracking.external_writes import ExternalWriteDetector
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.postgres.standby_reads import StandbyReads

# Memory of an entry beside its bodies and its key: 2.2 kB measured with tracemalloc, 0.8 kB more with an encoding, 0.5 kB for
# the query of a report.
_ENTRY_BYTES = 3500

# An answer that is repeated is computed again in this last part of the time, if it is asked for.
_RENEWED_PART = 0.5

# The largest entry, as a part of the cache: a larger one would evict everything else.
_LARGEST_PART = 4


class AnswerCache:
    """The answer cache of one process.

    max_bytes -- of all entries with their bodies in all encodings
    size -- of all entries at present, in bytes
    computed -- how many answers were computed so far
    """

    def __init__(
        self,
        changes: VersionCounters,
        detector: ExternalWriteDetector,
        counters: Counters,
        *,
        max_bytes: int,
        standbys: StandbyReads | None = None,
    ) -> None:
        self._standbys = standbys
        self._changes = changes
        self._detector = detector
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self.size = 0
        self.computed = 0
        self._counters = counters
        self._lookups = counters.add("answer cache", 2)  # hits and misses

    def __len__(self) -> int:
        """The number of entries."""
        return len(self._entries)

    @property
    def lookups(self) -> tuple[float, float]:
        """Hits, without those of the fast path, and misses; of all workers."""
        hits, misses = self._counters.total(self._lookups)
        return hits, misses

    async def reply(
        self,
        query: CachedQuery,
        *,
        accept_encoding: str,
        if_none_match: str,
        remember: Callable[[Entry, str], None] | None = None,
    ) -> Reply:
        """The response to a query, in an accepted encoding. Raises the Refusal that the query ends in.

        While the database is away or overloaded: the last answer, with its age (RFC 9111: Age; RFC 7234: Warning).

        remember -- called with the cache entry and the encoding of a current answer
        """
        age: Headers = ()
        try:
            answer = await self.get(query)
        except (DatabaseUnavailableError, ClientBusyError, OverloadedError) as error:
            stale = self.stale_answer(query)
            if stale is None and isinstance(error, DatabaseUnavailableError):
                stale = await self._answer_of_standby(query)
            if stale is None:
                raise
            answer, age_s = stale
            if isinstance(answer, Answer):
                marked = query.mark_stale(answer.body, age_s)
                answer = answer if marked == answer.body else Answer(marked, answer.headers)
            age = ((b"age", b"%d" % age_s), (b"warning", b'111 - "Revalidation Failed"'))
        if isinstance(answer, Streamed):
            return answer.reply(accept_encoding, if_none_match, age)
        encoding = choose_encoding(accept_encoding, is_small=answer.is_small)
        variant = await self.variant(query, answer, encoding)
        entry = self.find(query)
        if remember is not None and entry is not None and not age:
            remember(entry, encoding)
        return variant.reply(if_none_match, age)

    async def get(self, query: CachedQuery) -> AnyAnswer:
        """The answer, from the cache if it is valid. A streamed answer that is not repeatable is never cached.

        Raises the Refusal that the computation ends in.
        """
        arrived_at, entry = time.monotonic(), self._entry(query)
        detector_until = max(entry.fresh_until, self._detector.valid_until)
        if entry.answer is not None and detector_until <= arrived_at < entry.valid_until:
            await self._detector.check()
        if entry.answer is not None and self.is_valid(entry, time.monotonic()):
            self._lookups.values[0] += 1
            return entry.answer
        self._lookups.values[1] += 1
        while (running := entry.computation) is not None:
            entry.is_recently_used = True
            if running.began_at >= arrived_at or self._may_join(running, entry, arrived_at):
                try:
                    return await asyncio.shield(running.task)
                except ClientBusyError:  # of the client that began the computation, which may be another one
                    break
            await asyncio.wait([running.task])  # it may have read the database before this request arrived
        return await asyncio.shield(self._compute(entry, query).task)

    def _may_join(self, running: "Computation", entry: Entry, arrived_at: float) -> bool:
        """Whether a request may join a computation that began before it arrived without getting stale data."""
        query = running.query
        if arrived_at < running.known_at + query.repeated_s:
            return True
        unseen_s = limits.EXTERNAL_STALENESS_S if query.depends_on_database else math.inf
        return (
            arrived_at < running.known_at + unseen_s
            and running.external_version == self._detector.version
            and running.snapshot == entry.current_snapshot()
        )

    def is_valid(self, entry: Entry, now: float) -> bool:
        """Whether an entry's answer may be given at `now`, on time.monotonic's clock."""
        detector = self._detector
        if now > detector.due_at:
            detector.begin_check()
        entry.is_recently_used = True
        is_current = (
            now < entry.valid_until
            and (now < detector.valid_until or now < entry.fresh_until)
            and entry.external_version == detector.version
            and entry.snapshot == entry.current_snapshot()
        )
        if is_current or now >= entry.repeated_until:
            return is_current
        if now > entry.repeated_until - _RENEWED_PART * entry.query.repeated_s:
            self._renew(entry)
        return True

    def _renew(self, entry: Entry) -> None:
        """Begin to compute the next answer, so that no request has to wait for it."""
        if entry.computation is None:
            self._compute(entry, entry.query)

    def stale_answer(self, query: CachedQuery) -> tuple[AnyAnswer, float] | None:
        """The last answer, and how long ago it was known to be valid, in seconds; None if that exceeds STALE_ANSWER_S.

        For when the database is away.
        """
        entry = self._entries.get(query.key)
        if entry is None or entry.answer is None:
            known = query.fallback()
            found: tuple[AnyAnswer, float] | None = known and (
                Answer(known[0], query.headers),
                known[1],
            )
        else:
            known_at = entry.computed_at
            if (
                entry.external_version == self._detector.version
                and entry.snapshot == entry.current_snapshot()
            ):
                known_at = max(known_at, min(self._detector.checked_at, entry.valid_until))
            found = entry.answer, time.monotonic() - known_at
        return found if found is not None and found[1] <= limits.STALE_ANSWER_S else None

    async def _answer_of_standby(self, query: CachedQuery) -> tuple[AnyAnswer, float] | None:
        """What the standby answers while the primary is away, and how long ago the primary told that it has nothing else.

        None without a standby, and for an answer that is too large for memory.
        """
        age_s = time.monotonic() - self._detector.checked_at
        if self._standbys is None or not query.depends_on_database or age_s > limits.STALE_ANSWER_S:
            return None
        try:
            body = await self._standbys.run_without_primary(query.compute)
        except DatabaseUnavailableError:
            return None
        answer = self._made(None, query, body)
        return None if answer.size is None else (answer, age_s)

    def find(self, query: CachedQuery) -> Entry | None:
        """The entry of a query; None without one."""
        return self._entries.get(query.key)

    async def variant(self, query: CachedQuery, answer: Answer, encoding: str) -> Variant:
        """The answer in an encoding, which is cached with it."""
        made = answer.made(encoding)
        if made is None:
            made = await answer.variant(encoding)
            entry = self.find(query)
            if entry is not None and entry.answer is answer:
                self._resize(entry)
        return made

    def _entry(self, query: CachedQuery) -> Entry:
        entry = self._entries.get(query.key)
        if entry is None:
            entry = self._entries[query.key] = Entry(query, self._changes)
            self._resize(entry)
        return entry

    def _compute(self, entry: Entry, query: CachedQuery) -> Computation:
        known_at = math.inf if self._standbys is None else self._detector.checked_at
        computation = Computation(query, entry.current_snapshot(), self._detector.version, known_at)
        computation.task = asyncio.create_task(self._answer(entry, computation))
        computation.task.add_done_callback(consume_exception)
        entry.computation = computation
        return computation

    async def _answer(self, entry: Entry, computation: Computation) -> AnyAnswer:
        query = computation.query
        self.computed += 1
        try:
            body = await self._run(entry, computation)
        except BaseException:
            if entry.answer is None:
                self._evict(entry)
            raise
        finally:
            entry.computation = None
        answer = self._made(entry.answer, query, body)
        if answer.size is None:
            self._evict(entry)
        elif self._entries.get(entry.key) is entry:
            self._store(entry, computation, answer)
        return answer

    @staticmethod
    def _made(before: AnyAnswer | None, query: CachedQuery, body: AnyBody) -> AnyAnswer:
        """The answer with a body; the one before if it is equal, whose encodings were made."""
        headers = query.headers
        if isinstance(body, HeadedBody):
            headers = (*headers, *body.headers)
            body = body.body
        if not isinstance(body, bytes):
            return Streamed(body, headers)
        is_same = isinstance(before, Answer) and (before.body, before.headers) == (body, headers)
        return before if before is not None and is_same else Answer(body, headers)

    async def _run(self, entry: Entry, computation: Computation) -> AnyBody:
        """Compute the body. On a standby, after a check that tells what the standby must have replayed."""
        query, detector = computation.query, self._detector
        if self._standbys is None or not query.depends_on_database:
            return await query.compute()
        if time.monotonic() >= detector.valid_until:
            await detector.check()
            computation.snapshot, computation.external_version = entry.current_snapshot(), detector.version
            computation.known_at = min(detector.checked_at, time.monotonic())
        is_confirmed = time.monotonic() < detector.valid_until
        return await self._standbys.run(query.compute, is_confirmed=is_confirmed)

    def _store(self, entry: Entry, computation: Computation, answer: AnyAnswer) -> None:
        known_at, query = computation.known_at, computation.query
        entry.answer, entry.computed_at, entry.query = answer, known_at, query
        entry.snapshot, entry.external_version = computation.snapshot, computation.external_version
        entry.valid_until = known_at + query.max_age_s
        entry.repeated_until = known_at + query.repeated_s
        entry.fresh_until = known_at + limits.EXTERNAL_STALENESS_S if query.depends_on_database else math.inf
        self._resize(entry)

    def _resize(self, entry: Entry) -> None:
        """Update the size of an entry, and evict others to make room: those not used since the last scan (CLOCK)."""
        size = _ENTRY_BYTES + entry.key_bytes
        if entry.answer is not None:
            size += entry.answer.size or 0
        self.size += size - entry.size
        entry.size = size
        if size > self._max_bytes // _LARGEST_PART:
            self._evict(entry)
        while self.size > self._max_bytes:
            oldest = next(iter(self._entries.values()))
            if oldest.is_recently_used or oldest is entry:
                oldest.is_recently_used = False
                self._entries.move_to_end(oldest.key)
            else:
                self._evict(oldest)

    def _evict(self, entry: Entry) -> None:
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
            self.size -= entry.size
        entry.answer = None
