"""Measures the latency of well-behaved clients: a few connections with a request every 10 ms."""

import asyncio
import http.client
import time

from msgspec import Struct

from orchboard.signing import sign

_CONNECTIONS = 4
_PAUSE_S = 0.01
_REQUEST = b"GET /api/aggregated_stats HTTP/1.1\r\nHost: x\r\n\r\n"
_TIMEOUT_S = 30.0


class Latency(Struct, frozen=True):
    """The measurement. failed -- requests without a response 200"""

    asked: int
    failed: int
    p99_ms: float


async def measure_latency(port: int, seconds: float) -> Latency:
    """Measure for `seconds`."""
    until = time.monotonic() + seconds
    rounds = await asyncio.gather(*(_ask_until(port, until) for _ in range(_CONNECTIONS)))
    took = sorted(each for took, _ in rounds for each in took)
    failed = sum(failed for _, failed in rounds)
    return Latency(len(took) + failed, failed, took[int(len(took) * 0.99)] * 1000)


async def _ask_until(port: int, until: float) -> tuple[list[float], int]:
    took, failed = [], 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < until:
        began_at = time.perf_counter()
        try:
            writer.write(_REQUEST)
            async with asyncio.timeout(_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
            is_good = head.startswith(b"HTTP/1.1 200 ")
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            is_good = False
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if is_good:
            took.append(time.perf_counter() - began_at)
        else:
            failed += 1
        await asyncio.sleep(_PAUSE_S)
    writer.close()
    return took, failed


def post(port: int, body: bytes, secret: str) -> None:
    """Post one signed result. Asserts that it is acknowledged."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    connection.request("POST", "/api/post_stats", body, {"Authorization": sign(body, secret)})
    answer = connection.getresponse().read()
    assert answer == b"ok", answer
    connection.close()
