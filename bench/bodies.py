"""Requests with signed, different results of the simulated network."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.paths import SECRET
from orchboard.signing import sign
from orchboard.simulate.job_testers import JobTesters
from orchboard.simulate.network import make_network
from orchboard.stats import JobType, job_type_of


def signed_requests(key: str, *, job_type: JobType | None = None) -> Iterator[bytes]:
    """Yield complete requests without end. The same key gives the same results for the same time.

    job_type -- of the results; None: of both, mixed
    """
    testers = JobTesters(make_network(1), key)
    while True:
        body = testers.run(time.time(), age=1.0)
        if job_type not in (None, job_type_of(str(body["pipeline"]), str(body["model"]))):
            continue
        raw = msgspec.json.encode(body)
        yield (
            f"POST /api/post_stats HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"Authorization: {sign(raw, SECRET)}\r\nContent-Length: {len(raw)}\r\n\r\n"
        ).encode() + raw


def write_requests(path: Path, number: int) -> None:
    """Write a file for wrk.lua: each request, preceded by its length in eight digits."""
    requests = signed_requests(f"wrk/{time.time()}")
    with path.open("wb") as file:
        for _ in range(number):
            request = next(requests)
            file.write(b"%08d" % len(request) + request)
