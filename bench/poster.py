"""`python -m bench.poster PORT RATE SECONDS`: posts signed results at a rate and prints the outcome as JSON."""

import sys

import msgspec
import uvloop
from msgspec import Struct

from bench.bodies import signed_requests
from bench.concurrent_clients import run_open_loop
from bench.figures import Samples

CONNECTIONS = 32


class Posted(Struct, frozen=True):
    """The outcome.

    ok -- acknowledged; refused -- any other response, or none
    p50, p99 -- ms from the time each was due
    """

    due: int
    ok: int
    refused: int
    p50: float
    p99: float


async def post(port: int, rate: float, seconds: float) -> Posted:
    """Post for `seconds`. All results are made before the first is due."""
    source = signed_requests(f"poster/{port}/{seconds}")
    number = round(rate * min(seconds, 60.0))
    requests = [next(source) for _ in range(number)]
    due = ok = refused = 0
    ms: list[float] = []
    while due < rate * seconds:
        tally = await run_open_loop(port, requests, rate=rate, connections=CONNECTIONS)
        due, ok, refused = due + number, ok + tally.ok, refused + tally.refused + tally.broken
        ms += tally.ms
    samples = Samples(ms)
    return Posted(due, ok, refused, samples.p50, samples.p99)


if __name__ == "__main__":
    posted = uvloop.run(post(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
    sys.stdout.buffer.write(msgspec.json.encode(posted))
