"""Clients at one address that send as many expensive queries as they can: uncached windows and large answers."""

import asyncio
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

from msgspec import Struct

ADDRESS = "127.0.0.2"

_SMALLEST_PAUSE_S = 0.01


class Attack(Struct, frozen=True):
    """Parameters of the clients.

    questions, large_answers -- number of clients of each kind
    since_s -- maximum age of the start of a window; large -- the target of a large answer
    """

    port: int
    questions: int
    large_answers: int
    large: str
    since_s: float
    seconds: float


class ReaderReport(Struct, frozen=True):
    """Responses by status (0: none), and the number of complete large answers."""

    statuses: dict[int, int]
    whole: int


@contextmanager
def attacking(attack: Attack) -> Iterator[Connection]:
    """Run the clients in another process; yields a connection that receives a ReaderReport at its end."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(attack, theirs), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        process.join(attack.seconds + 30)
        process.kill()


def _run(attack: Attack, report: Connection) -> None:
    report.send(asyncio.run(_attack(attack)))


async def _attack(attack: Attack) -> ReaderReport:
    until = time.monotonic() + attack.seconds
    statuses: Counter[int] = Counter()
    draw = random.Random(1)

    def question() -> str:
        since = time.time() - draw.random() * attack.since_s
        return f"/api/aggregated_stats?since={since:.6f}{draw.choice(['', '&job_type=ai'])}"

    clients = [_client(attack.port, question, until, statuses) for _ in range(attack.questions)]
    clients += [
        _client(attack.port, lambda: attack.large, until, statuses) for _ in range(attack.large_answers)
    ]
    whole = await asyncio.gather(*clients)
    return ReaderReport(dict(statuses), sum(whole[attack.questions :]))


async def _client(port: int, target: "object", until: float, statuses: Counter[int]) -> int:
    """Send requests without pause, each on a new connection; the number of complete answers."""
    whole = 0
    assert callable(target)
    while time.monotonic() < until:
        with suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(ADDRESS, 0))
            status, end = 0, b""
            try:
                async with asyncio.timeout(max(until - time.monotonic(), 0.1)):
                    request = f"GET {target()} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                    writer.write(request.encode())
                    status = int((await reader.readuntil(b"\r\n"))[9:12])
                    while chunk := await reader.read(1 << 18):
                        end = chunk[-5:]
                whole += status == 200 and end == b"0\r\n\r\n"
            finally:
                statuses[status] += 1
                writer.close()
        await asyncio.sleep(_SMALLEST_PAUSE_S)
    return whole
