"""Clients that read during a block: cached and uncached queries in turn."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct, field

from chaos.http_client import Caller, Failure, get

READERS = 4
_PAUSE_S = 0.02

# Queries sent in turn. `{number}` makes an uncached query.
_QUESTIONS = (
    "/api/aggregated_stats",
    "/api/aggregated_stats?since={number}",
    "/api/raw_stats?orchestrator=0x{number}",
    "/api/raw_stats?orchestrator=0x00000000000000000000" + "0" * 20,
    "/api/pipelines?since={number}",
    "/api/top_ai_score?since={number}",
    "/api/regions",
    "/?since={number}",
)


class Reads(Struct):
    """The responses to readers.

    stale -- of the 200 responses, those with a last good answer
    others -- responses other than 200, by query and status
    slowest -- the query that took longest
    """

    answered: int = 0
    stale: int = 0
    others: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest: str = ""

    def __str__(self) -> str:
        return (
            f"{self.answered:,} answered 200 on {READERS} connections, {self.stale:,} of them stale, "
            f"the slowest after {self.slowest_s:.2f} s ({self.slowest}); others {dict(self.others) or 0}"
        )


@asynccontextmanager
async def reading(port: int, reads: Reads, *, pause_s: float = _PAUSE_S) -> AsyncIterator[None]:
    """Read during the block, one query at a time per connection, with a pause after each."""
    stop = asyncio.Event()

    async def client(first: int) -> None:
        number = first
        async with Caller(port) as caller:
            while not stop.is_set():
                number += READERS
                question = _QUESTIONS[number // READERS % len(_QUESTIONS)]
                asked_at = time.monotonic()
                try:
                    reply = await caller.ask(get(question.format(number=number)))
                    status = str(reply.status)
                    reads.stale += b"\r\nwarning: 111 " in reply.head.lower()
                except Failure as failure:
                    status = str(failure)
                took_s = time.monotonic() - asked_at
                if took_s > reads.slowest_s:
                    reads.slowest_s, reads.slowest = took_s, question
                if status == "200":
                    reads.answered += 1
                else:
                    reads.others[f"{question} {status}"] += 1
                await asyncio.sleep(pause_s)

    async with asyncio.TaskGroup() as clients:
        for first in range(READERS):
            clients.create_task(client(first))
        try:
            yield
        finally:
            stop.set()
