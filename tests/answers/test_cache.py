"""The cache of answers: true or not given, one computation however many ask, bounded in bytes."""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest
from msgspec import Struct

from orchboard import limits
from orchboard.answers.answer import Answer, Pieces, Streamed
from orchboard.answers.cache import AnswerCache
from orchboard.answers.cached_query import CachedQuery
from orchboard.errors import ClientBusyError, DatabaseUnavailableError
from orchboard.runtime.counters import Counters
from orchboard.stats import JobType
from orchboard.store.change_tracking.external_writes import ExternalWriteDetector
from orchboard.store.change_tracking.version_counters import VersionCounters, job_type_key
from tests.support.database import run

KEY = job_type_key(JobType.TRANSCODING)
Compute = Callable[[], Awaitable[bytes]]


class Kept:
    """A cache, with what its answers are true by in our hands: the counters, and the database's snapshot."""

    def __init__(self, max_bytes: int = 1_000_000) -> None:
        self.snapshot = "1"
        self.changes = VersionCounters.alone()
        self.external_writes = ExternalWriteDetector(self._fetch_snapshot)
        self.answers = AnswerCache(self.changes, self.external_writes, Counters.alone(), max_bytes=max_bytes)

    async def _fetch_snapshot(self) -> str:
        return self.snapshot

    def change(self) -> None:
        self.changes._count(KEY)

    async def get(self, compute: Compute, name: str = "q", **options: object) -> Answer:
        question = CachedQuery((name,), compute, (), version_keys=(KEY,), **options)  # type: ignore[arg-type] # as it takes them
        return await self.ask(question)

    async def ask(self, question: CachedQuery) -> Answer:
        found = await self.answers.get(question)
        assert isinstance(found, Answer)
        return found


def saying(body: bytes) -> Compute:
    async def compute() -> bytes:
        return body

    return compute


async def loop_turns() -> None:
    """Let every task that can run go on until it waits for something: no clock decides what has begun."""
    for _ in range(20):
        await asyncio.sleep(0)


class Gate:
    """A computation that ends when it is told to; each finds its number."""

    def __init__(self) -> None:
        self.begun = 0
        self.open = asyncio.Event()

    async def compute(self) -> bytes:
        self.begun += 1
        number = self.begun
        await self.open.wait()
        return b"%d" % number


def test_a_known_answer_is_given_again_until_something_changes() -> None:
    async def work() -> None:
        kept = Kept()
        await kept.external_writes.check()
        first = await kept.get(saying(b"1"))
        assert await kept.get(saying(b"2")) is first
        kept.change()
        assert (await kept.get(saying(b"3"))).body == b"3"
        kept.changes.invalidate_all()
        assert (await kept.get(saying(b"4"))).body == b"4"
        assert kept.answers.computed == 3

    run(work())


def test_a_repeated_answer_outlives_changes_and_is_renewed_for_whoever_asks_late() -> None:
    async def work() -> None:
        kept = Kept()
        await kept.external_writes.check()
        first = await kept.get(saying(b"1"), repeated_s=60.0)
        [entry] = kept.answers._entries.values()
        kept.change()
        kept.snapshot = "2"
        await kept.external_writes.check()
        assert await kept.get(saying(b"2"), repeated_s=60.0) is first
        assert kept.answers.computed == 1, "most of the minute is left"
        entry.repeated_until -= 40.0  # as if that had passed
        assert await kept.get(saying(b"3"), repeated_s=60.0) is first
        await loop_turns()
        assert kept.answers.computed == 2
        entry.repeated_until = -math.inf  # as if a minute had passed
        assert (await kept.get(saying(b"4"), repeated_s=60.0)).body == b"1", "nothing changed since"
        kept.change()
        assert (await kept.get(saying(b"5"), repeated_s=60.0)).body == b"5"

    run(work())


def test_who_asks_for_a_repeated_answer_joins_the_computation_before_the_result() -> None:
    async def work() -> None:
        kept, gate = Kept(), Gate()
        await kept.external_writes.check()
        first = asyncio.create_task(kept.get(gate.compute, repeated_s=60.0))
        await loop_turns()
        kept.change()
        second = asyncio.create_task(kept.get(gate.compute, repeated_s=60.0))
        await loop_turns()
        gate.open.set()
        assert await second is await first
        assert gate.begun == 1

    run(work())


def test_what_others_wrote_is_looked_for_before_an_answer_is_given_again() -> None:
    async def work() -> None:
        kept = Kept()
        await kept.external_writes.check()
        first = await kept.get(saying(b"1"))
        kept.external_writes.valid_until = -math.inf  # as if a second had passed
        next(iter(kept.answers._entries.values())).fresh_until = -math.inf
        assert await kept.get(saying(b"2")) is first, "nobody wrote"
        kept.snapshot = "2"
        kept.external_writes.valid_until = -math.inf
        assert (await kept.get(saying(b"3"))).body == b"3"

    run(work())


def test_an_answer_that_is_not_stored_needs_no_look() -> None:
    async def work() -> None:
        kept = Kept()
        first = await kept.get(saying(b"1"), depends_on_database=False)
        assert await kept.get(saying(b"2"), depends_on_database=False) is first
        assert kept.external_writes.version == 0

    run(work())


def test_an_answer_about_a_window_that_moves_ends_by_itself() -> None:
    async def work() -> None:
        kept = Kept()
        await kept.external_writes.check()
        assert (await kept.get(saying(b"1"), max_age_s=0.02)).body == b"1"
        await asyncio.sleep(0.03)
        assert (await kept.get(saying(b"2"), max_age_s=0.02)).body == b"2"

    run(work())


def test_concurrent_requests_share_one_computation() -> None:
    async def work() -> None:
        kept, gate = Kept(), Gate()
        waiting = [asyncio.create_task(kept.get(gate.compute)) for _ in range(100)]
        await loop_turns()
        waiting += [asyncio.create_task(kept.get(gate.compute)) for _ in range(100)]
        await loop_turns()
        gate.open.set()
        assert len({id(answer) for answer in await asyncio.gather(*waiting)}) == 1
        assert gate.begun == kept.answers.computed == 1

    run(work())


def test_a_request_after_a_change_never_gets_an_answer_computed_before_it() -> None:
    async def work() -> None:
        kept, gate = Kept(), Gate()
        before = asyncio.create_task(kept.get(gate.compute))
        await loop_turns()
        kept.change()
        after = [asyncio.create_task(kept.get(gate.compute)) for _ in range(50)]
        await loop_turns()
        gate.open.set()
        assert (await before).body == b"1"
        assert {answer.body for answer in await asyncio.gather(*after)} == {b"2"}
        assert gate.begun == 2, "those who came after share one"

    run(work())


def test_a_request_does_not_join_a_computation_that_began_a_second_ago() -> None:
    async def work() -> None:
        kept, gate = Kept(), Gate()
        first = asyncio.create_task(kept.get(gate.compute))
        await loop_turns()
        entry = next(iter(kept.answers._entries.values()))
        assert entry.computation is not None
        entry.computation.known_at -= limits.EXTERNAL_STALENESS_S  # as if it had begun so long ago
        late = asyncio.create_task(kept.get(gate.compute))
        await loop_turns()
        gate.open.set()
        assert ((await first).body, (await late).body) == (b"1", b"2")

    run(work())


def test_a_change_in_the_middle_of_a_computation_makes_its_answer_untrue() -> None:
    async def work() -> None:
        kept, gate = Kept(), Gate()
        first = asyncio.create_task(kept.get(gate.compute))
        await loop_turns()
        kept.change()
        gate.open.set()
        await first
        assert (await kept.get(gate.compute)).body == b"2"

    run(work())


def test_a_failure_is_shared_by_concurrent_requests_and_not_cached() -> None:
    async def work() -> None:
        kept, go = Kept(), asyncio.Event()

        async def fail() -> bytes:
            await go.wait()
            raise DatabaseUnavailableError("away")

        waiting = [asyncio.create_task(kept.get(fail)) for _ in range(10)]
        await loop_turns()
        go.set()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(end) for end in ended} == {DatabaseUnavailableError}
        assert kept.answers.computed == 1
        assert (await kept.get(saying(b"1"))).body == b"1"
        assert kept.answers.computed == 2

    run(work())


def test_a_cancelled_request_does_not_cancel_the_computation() -> None:
    async def work() -> None:
        kept, gate = Kept(), Gate()
        leaves, stays = (asyncio.create_task(kept.get(gate.compute)) for _ in range(2))
        await loop_turns()
        leaves.cancel()
        gate.open.set()
        assert (await stays).body == b"1"

    run(work())


def test_the_same_bytes_computed_again_are_the_same_answer_with_its_encodings() -> None:
    async def work() -> None:
        kept = Kept()
        question = CachedQuery(("q",), saying(b"x" * 2000), (), version_keys=(KEY,))
        first = await kept.ask(question)
        made = await kept.answers.variant(question, first, "gzip")
        kept.change()
        again = await kept.ask(question)
        assert kept.answers.computed == 2
        assert again.made("gzip") is made

    run(work())


class Asked(Struct, frozen=True):
    """A key as the API has them."""

    text: str


@pytest.mark.parametrize("key", [str, Asked], ids=["short keys", "keys with what clients wrote"])
def test_thousands_of_questions_stay_under_the_limit(key: Callable[[str], object]) -> None:
    padding = "" if key is str else "x" * 3000

    async def work() -> None:
        kept = Kept(max_bytes=500_000)
        for number in range(3000):
            question = CachedQuery(("q", key(f"{number}{padding}")), saying(b"x" * 1000), ())
            await kept.ask(question)
            assert kept.answers.size <= 500_000
        assert len(kept.answers._entries) <= 500_000 // (1000 + len(padding))
        assert kept.answers.size == sum(entry.size for entry in kept.answers._entries.values())

    run(work())


def test_the_least_used_goes_first_and_a_hot_one_stays() -> None:
    async def work() -> None:
        kept = Kept(max_bytes=100_000)
        await kept.external_writes.check()
        await kept.get(saying(b"hot"), "hot")
        await kept.get(saying(b"cold"), "cold")
        for number in range(500):
            await kept.get(saying(b"x" * 1000), f"q{number}")
            assert (await kept.get(saying(b"computed again"), "hot")).body == b"hot"
        assert (await kept.get(saying(b"computed again"), "cold")).body == b"computed again"

    run(work())


def test_an_answer_too_large_for_the_cache_is_returned_and_evicts_no_other() -> None:
    async def work() -> None:
        kept = Kept(max_bytes=100_000)
        await kept.external_writes.check()
        small = await kept.get(saying(b"small"), "small")
        question = CachedQuery(("big",), saying(b"x" * 30_000), ())
        big = await kept.ask(question)
        assert len(big.body) == 30_000
        assert (await kept.answers.variant(question, big, "gzip")).body
        assert await kept.get(saying(b"other"), "small") is small
        assert kept.answers.find(question) is None

    run(work())


def test_encodings_count() -> None:
    async def work() -> None:
        kept = Kept(max_bytes=100_000)
        question = CachedQuery(("q",), saying(bytes(range(256)) * 80), ())  # 20 kB, and as much in a coding
        answer = await kept.ask(question)
        size = kept.answers.size
        made = await kept.answers.variant(question, answer, "zstd")
        assert kept.answers.size == size + len(made.body)

    run(work())


def test_a_query_refused_to_a_busy_client_is_computed_for_another() -> None:
    async def refuse() -> bytes:
        await loop_turns()
        raise ClientBusyError

    async def work() -> None:
        kept = Kept()
        refused, answered = (
            asyncio.create_task(kept.get(compute)) for compute in (refuse, saying(b"an answer"))
        )
        assert (await answered).body == b"an answer"
        assert isinstance(refused.exception(), ClientBusyError)

    run(work())


def test_what_is_streamed_is_not_kept() -> None:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"a piece"

    async def work() -> None:
        kept = Kept()

        async def compute() -> Pieces:
            return pieces

        for computed in (1, 2):
            found = await kept.answers.get(CachedQuery(("q",), compute, (), version_keys=(KEY,)))
            assert isinstance(found, Streamed)
            assert [piece async for piece in found.pieces()] == [b"a piece"]
            assert kept.answers.computed == computed
        assert kept.answers.size == 0

    run(work())
