"""Restarts: no request fails while servers and workers are replaced."""

import asyncio
import itertools
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from chaos.http_client import Caller, Failure, get
from chaos.ledger import Ledger
from chaos.server_process import ServerProcess, running
from chaos.verdict import Scale, Verdict

# Connections: persistent and busy, persistent and mostly idle, one request each.
_BUSY, _IDLE, _FRESH = 14, 10, 8

# Maximum idle time of a connection.
_LONGEST_PAUSE_S = 4.0

# The share of posts is one in this many requests.
_POSTS = 10

# (requests, restarts) of each kind
_SIZES = {Scale.SMALL: (7_000, 1), Scale.FULL: (340_000, 30)}

# Long, for a busy machine.
_RESTART_LIMIT_S = 300.0

# The promised maximum duration of SIGTERM.
_LEAVE_S = 10.0

_QUESTIONS = [
    get(target)
    for target in (
        *["/api/regions"] * 10,
        "/api/aggregated_stats",
        "/api/pipelines",
        "/api/top_ai_score?orchestrator=0x0&pipeline=p&model=m",
        f"/api/raw_stats?orchestrator=0x{0:040x}&since=1&until=2",
    )
]

Restart = Callable[[ServerProcess], Awaitable[None]]


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """A verdict for each way to restart, and one on the duration of SIGTERM."""
    stops: list[float] = []

    async def stop_and_start(program: ServerProcess) -> None:
        began_at = time.monotonic()
        program.send_signal(signal.SIGTERM)
        if code := await program.wait_until_ended():
            raise AssertionError(f"SIGTERM ended in status {code}: {program.log_tail()}")
        stops.append(time.monotonic() - began_at)
        program.start()
        await program.wait_until_healthy()

    kinds: list[tuple[str, str, Restart]] = [
        ("rolling, of two workers", "2", _roll),
        ("SIGHUP, of one process", "1", _restart_in_place),
        ("stop and start behind one socket", "1", stop_and_start),
    ]
    verdicts = []
    for number, (name, workers, restart) in enumerate(kinds):
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
            place = directory / "restarts"
            with running(place, listener=listener, WORKERS=workers) as program:
                load = Load(program, Ledger(number))
                await load.run(restart, *_SIZES[scale])
                verdicts.append(await load.verdict(name, _SIZES[scale]))
    longest_s = max(stops)
    promised = f"within {_LEAVE_S:.0f} s"
    verdicts.append(
        Verdict(
            "SIGTERM stops the server", f"the longest took {longest_s:.1f} s", promised, longest_s < _LEAVE_S
        )
    )
    return verdicts


class Load:
    """Requests on all kinds of connections, and their outcomes."""

    def __init__(self, program: ServerProcess, ledger: Ledger) -> None:
        self._program = program
        self._ledger = ledger
        self._results = ledger.results()
        self._restarts = 0
        self._longest_s = 0.0
        self._stop = asyncio.Event()
        self.outcomes = Counter[str]()

    async def run(self, restart: Restart, requests: int, restarts: int) -> None:
        """Send requests until the given numbers of restarts and requests are reached."""
        await self._program.wait_until_healthy()
        async with asyncio.TaskGroup() as clients, AsyncExitStack() as stack:
            stack.callback(self._stop.set)
            for number in range(_BUSY):
                clients.create_task(self._client(number, keeps=True, pause_s=0.0))
            for number in range(_IDLE):
                clients.create_task(self._client(number, keeps=True, pause_s=_LONGEST_PAUSE_S))
            for number in range(_FRESH):
                clients.create_task(self._client(number, keeps=False, pause_s=0.0))
            for _ in range(restarts):
                await self._until(self.outcomes.total() + requests // (restarts + 1))
                async with asyncio.timeout(_RESTART_LIMIT_S):
                    await restart(self._program)
                self._restarts += 1
            await self._until(requests)

    async def verdict(self, name: str, size: tuple[int, int]) -> Verdict:
        """The verdict; compares acknowledged results with stored ones."""
        findings = await self._ledger.compare(self._program.port)
        failed = Counter({outcome: count for outcome, count in self.outcomes.items() if outcome})
        if failed:
            print(self._program.log_tail(), file=sys.stderr)
        details = "".join(f"; {count} {outcome}" for outcome, count in failed.most_common(5))
        return Verdict(
            f"restarts fail no request, {name}",
            f"{self._restarts} restarts, {self.outcomes.total():,} requests on {_BUSY + _IDLE + _FRESH} connections, "
            f"failed {failed.total()}{details}; longest wait {self._longest_s:.1f} s; {findings}",
            f"failed 0 of {size[0]:,}",
            not failed and findings.is_clean and self.outcomes.total() >= size[0],
        )

    async def _until(self, number: int) -> None:
        while self.outcomes.total() < number:  # noqa: ASYNC110 - other tasks update it
            await asyncio.sleep(0.01)

    async def _client(self, number: int, *, keeps: bool, pause_s: float) -> None:
        draw = random.Random(f"{number} {keeps} {pause_s}")
        turns = _turns(number)
        async with Caller(self._program.port, keeps=keeps) as caller:
            while not self._stop.is_set():
                began_at = time.monotonic()
                self.outcomes[await self._ask(caller, next(turns))] += 1
                self._longest_s = max(self._longest_s, time.monotonic() - began_at)
                if pause_s:
                    await asyncio.sleep(draw.uniform(0, pause_s))

    async def _ask(self, caller: Caller, question: bytes) -> str:
        """How a request failed; empty: it did not. An empty query means a post."""
        if not question:
            return await self._ledger.post(caller, next(self._results))
        try:
            reply = await caller.ask(question)
        except Failure as failure:
            return str(failure)
        return "" if reply.status == 200 else f"status {reply.status}"


def _turns(number: int) -> Iterator[bytes]:
    questions = itertools.cycle(_QUESTIONS)
    for turn in itertools.count(number):
        yield next(questions) if turn % _POSTS else b""


async def _roll(program: ServerProcess) -> None:
    """Send SIGHUP, and wait until every worker is replaced."""
    before = set(program.workers())
    program.send_signal(signal.SIGHUP)
    while before & (now := set(program.workers())) or len(now) != len(before):  # noqa: ASYNC110 - waits for another process
        await asyncio.sleep(0.02)


async def _restart_in_place(program: ServerProcess) -> None:
    """Send SIGHUP, and wait for the banner of the new program; the process id stays."""
    before = program.log.read_text().count("orchboard is at")
    program.send_signal(signal.SIGHUP)
    while program.log.read_text().count("orchboard is at") == before:  # noqa: ASYNC110 - waits for another process
        await asyncio.sleep(0.02)
    await program.wait_until_healthy()
