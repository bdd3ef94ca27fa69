"""Many concurrent clients, each with a keep-alive connection."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from bench.connection import LAST_CHUNK, content_length, is_chunked
from bench.figures import Samples


class Tally:
    """The outcome of a run.

    ms -- latency of each request answered 200, from the time it was due
    ok -- how many of these are acknowledged posts
    refused, broken -- other responses, no response
    """

    def __init__(self) -> None:
        self.ms: list[float] = []
        self.ok = 0
        self.refused = 0
        self.broken = 0

    @property
    def samples(self) -> Samples:
        """The latencies."""
        return Samples(self.ms)


async def run_closed_loop(port: int, requests: Iterator[bytes], *, connections: int, seconds: float) -> Tally:
    """Each client sends its next request after a response, until the time is up or no request is left."""
    tally = Tally()
    end = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await _open(port)
        try:
            while time.perf_counter() < end and (request := next(requests, None)) is not None:
                await _exchange(reader, writer, request, time.perf_counter(), tally)
        finally:
            writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return tally


async def run_open_loop(
    port: int,
    requests: Sequence[bytes],
    *,
    rate: float,
    connections: int,
    stop: Callable[[], bool] = lambda: False,
) -> Tally:
    """Send `rate` requests a second, each when it is due, or later when a connection is free.

    A latency counts from the time a request was due, so a server that stalls is also charged for the requests that
    would have arrived meanwhile.
    """
    tally = Tally()
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(connections):
        idle.put_nowait(await _open(port))
    start = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number, request in enumerate(requests):
            due = start + number / rate
            if (wait_s := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            if stop():
                break
            pair = await idle.get()
            tasks.create_task(_one(port, idle, pair, request, due, tally))
    while not idle.empty():
        idle.get_nowait()[1].close()
    return tally


async def _open(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, limit=1 << 25)


async def _one(
    port: int,
    idle: "asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]",
    pair: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    request: bytes,
    due: float,
    tally: Tally,
) -> None:
    try:
        await _exchange(*pair, request, due, tally)
    except (ConnectionError, asyncio.IncompleteReadError):
        tally.broken += 1
        pair[1].close()
        pair = await _open(port)
    idle.put_nowait(pair)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, due: float, tally: Tally
) -> None:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if is_chunked(head):
        body = await reader.readuntil(LAST_CHUNK)
    else:
        body = await reader.readexactly(content_length(head))
    if head[9:12] != b"200":
        tally.refused += 1
        return
    tally.ms.append((time.perf_counter() - due) * 1e3)
    tally.ok += body == b"ok"
