"""The database is unavailable: results are acknowledged, and stored once when it is available again."""

import asyncio
import math
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from chaos.http_client import Caller, Failure, get
from chaos.ledger import Ledger, wait_until_replayed
from chaos.postgres import Postgres, one_postgres
from chaos.server_process import ServerProcess, running
from chaos.verdict import Scale, Verdict
from orchboard.store.spool.location import why_no_spool

CONNECTIONS = 8

SCORES = "/api/aggregated_stats"

# Timeout of a tester.
_TESTERS_PATIENCE_S = 8.0

_LIMIT_S = 90.0

# Number of results whose receipt times are checked.
_LOOKED_UP = 5


class Size(Struct, frozen=True):
    """Parameters: duration of the outage, kills of the server during it and during replay, pause of the testers."""

    away_s: float
    kills: int
    kills_at_replay: int
    rest_s: float
    workers: str


_SIZES = {
    Scale.SMALL: Size(away_s=4, kills=1, kills_at_replay=1, rest_s=0.02, workers="1"),
    Scale.FULL: Size(away_s=600, kills=8, kills_at_replay=4, rest_s=0.04, workers="2"),
}


class Testers:
    """Testers that post continuously, and their observations.

    times -- when each result was sent, in Unix seconds, by its `timestamp`; without those that may have waited for a
    starting server
    failures -- responses other than `ok`, except those broken off while the server was killed
    """

    def __init__(self, ledger: Ledger, rest_s: float) -> None:
        self.ledger = ledger
        self.times: dict[int, float] = {}
        self.failures: list[str] = []
        self.slowest_s = 0.0
        self.is_killing = False
        self._rest_s = rest_s
        self._results = ledger.results()

    @asynccontextmanager
    async def posting(self, port: int) -> AsyncIterator[None]:
        """Post during the block."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as clients:
            for _ in range(CONNECTIONS):
                clients.create_task(self._post(port, stop))
            try:
                yield
            finally:
                stop.set()

    async def _post(self, port: int, stop: asyncio.Event) -> None:
        async with Caller(port) as caller:
            while not stop.is_set():
                result = next(self._results)
                sent_at, was_killing = time.time(), self.is_killing
                said = await self.ledger.post(caller, result)
                if not said and not was_killing:
                    self.times[msgspec.json.decode(result)["timestamp"]] = sent_at
                    self.slowest_s = max(self.slowest_s, time.time() - sent_at)
                elif said and not self.is_killing:
                    self.failures.append(said)
                await asyncio.sleep(self._rest_s)

    async def until_more(self, number: int) -> None:
        """Wait until `number` more results are acknowledged."""
        wanted = len(self.ledger.acknowledged) + number
        async with asyncio.timeout(_LIMIT_S):
            while len(self.ledger.acknowledged) < wanted:  # noqa: ASYNC110 - waits for another process
                await asyncio.sleep(0.02)


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Verdicts on stored results, on their receipt times, and on testers and readers during the outage."""
    size = _SIZES[scale]
    async with one_postgres(directory) as postgres:
        url = postgres.url("board")
        with (
            on_disk(directory) as data,
            running(
                directory / "server", POSTGRES=url, WORKERS=size.workers, ORCHBOARD_DATA=str(data)
            ) as program,
        ):
            return await _prove(size, postgres, program)


async def _prove(size: Size, postgres: Postgres, program: ServerProcess) -> list[Verdict]:
    testers, draw = Testers(Ledger(), size.rest_s), random.Random(1)
    readers = Readers(program.port)
    await program.wait_until_healthy()
    began_at = time.time()
    async with testers.posting(program.port):
        await testers.until_more(100)
        for _ in range(20):  # each worker has its own cache
            await readers.read()
        postgres.kill()
        away_at, before = time.time(), len(testers.ledger.acknowledged)
        await asyncio.sleep(1.5)  # answers may be a second old
        await readers.read_until(away_at + max(size.away_s / 10, 3))
        for kill in range(size.kills):
            until = away_at + size.away_s * (kill + 1) / (size.kills + 1)
            await asyncio.sleep(max(until - time.time(), 0) * draw.uniform(0.7, 1.0))
            await _kill(program, testers)
            await testers.until_more(20)
        await asyncio.sleep(max(away_at + size.away_s - time.time(), 0))
        meanwhile, was_away_s = len(testers.ledger.acknowledged) - before, time.time() - away_at
        postgres.start()
        for _ in range(size.kills_at_replay):
            await asyncio.sleep(draw.uniform(0.1, 1.0))
            await _kill(program, testers)
        if size.kills_at_replay > 1:
            postgres.kill()
            await testers.until_more(20)
            postgres.start()
        await postgres.wait_until_ready()
        await program.wait_until_healthy()
        await testers.until_more(20)
    findings = await testers.ledger.compare(program.port)
    farthest_s, looked_up = await _farthest(program.port, testers, began_at)
    kills = size.kills + size.kills_at_replay
    said = f"away for {was_away_s:.0f} s, server killed {kills} times"
    return [
        Verdict("the database away, every acknowledged result stored once", f"{said}; {meanwhile:,} ok meanwhile; {findings}",
                "lost 0, twice 0", findings.is_clean and meanwhile > 0),
        Verdict("with its receipt time", f"{looked_up:,} checked, at most {farthest_s:.2f} s from the time of sending",
                "at most 1 s", farthest_s <= 1.0 and looked_up > 0),
        Verdict("testers during the outage", f"{len(testers.failures)} answers other than ok {sorted(set(testers.failures))}, the slowest "
                f"ok after {testers.slowest_s:.1f} s", "0, 8 s", not testers.failures and testers.slowest_s < _TESTERS_PATIENCE_S),
        readers.verdict(),
    ]  # fmt: skip


async def _kill(program: ServerProcess, testers: Testers) -> None:
    """Kill the server with its workers, and start it again."""
    testers.is_killing = True
    os.killpg(program.pid, signal.SIGKILL)
    await program.wait_until_ended()
    program.start()
    await testers.until_more(CONNECTIONS + 1)  # one per connection may still come from the killed server
    testers.is_killing = False


class Readers:
    """A reader of scores, and the responses during the outage."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._answers = 0
        self._stale = 0
        self._slowest_s = 0.0

    async def read(self) -> bytes:
        """Send one query; the head of the response."""
        async with Caller(self._port) as caller:
            reply = await caller.ask(get(SCORES))
        return reply.head.lower() if reply.status == 200 else b""

    async def read_until(self, until: float) -> None:
        """Send queries until a time."""
        while time.time() < until:
            asked_at = time.time()
            head = await self.read()
            self._answers += 1
            self._stale += b"\r\nage: " in head and b"\r\nwarning: 111 " in head
            self._slowest_s = max(self._slowest_s, time.time() - asked_at)
            await asyncio.sleep(0.05)

    def verdict(self) -> Verdict:
        """The observations."""
        return Verdict(
            "readers during the outage",
            f"{self._stale} of {self._answers} got the last good answer with Age and Warning, the slowest after "
            f"{self._slowest_s:.1f} s",
            "all of them",
            0 < self._answers == self._stale,
        )


async def _farthest(port: int, testers: Testers, began_at: float) -> tuple[float, int]:
    """The maximum difference between receipt time and sending time, to a quarter second, and the number of results checked."""
    bodies = [msgspec.json.decode(result) for result in testers.ledger.acknowledged]
    orchestrators = sorted({body["orchestrator"] for body in bodies})[:_LOOKED_UP]
    farthest_s, looked_up = 0.0, 0
    first, last = math.floor(began_at), math.ceil(time.time())
    async with Caller(port) as caller:
        await wait_until_replayed(caller)
        for orchestrator in orchestrators:
            for tick in range((last - first) * 4):
                since = first + tick / 4
                target = f"/api/raw_stats?orchestrator={orchestrator}&since={since}&until={since + 0.249999}"
                reply = await caller.ask(get(target))
                if reply.status != 200:
                    raise Failure(f"status {reply.status} for {target}")
                for results in msgspec.json.decode(reply.body).values():
                    for result in results:
                        if (sent_at := testers.times.get(result["timestamp"])) is not None:
                            looked_up += 1
                            farthest_s = max(farthest_s, since - sent_at, sent_at - (since + 0.25))
    return farthest_s, looked_up


@contextmanager
def on_disk(directory: Path) -> Iterator[Path]:
    """A data directory on a file system that is suitable for a spool."""
    data = directory / "data"
    if why_no_spool(data / "spool" / "x") is None:
        yield data
        return
    elsewhere = Path(tempfile.mkdtemp(prefix="orchboard-away-", dir="/var/tmp"))
    try:
        yield elsewhere
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)
