"""Signed posts, each answered after its commit, against one insert for each request, on databases of one cluster."""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from bench.bodies import signed_requests, write_requests
from bench.concurrent_clients import run_open_loop
from bench.dataset import execute
from bench.effort import Effort
from bench.figures import Line, Outcome, Plot, Row, in_ms, median_of
from bench.memory import memory_row
from bench.paths import ROOT
from bench.server import Server, free_port, on_database, running, serving
from bench.wrk import Run, run_wrk

CONNECTIONS = 32
PLOTTED = (1, 4, 8, 16, 32, 64)
RATE_TARGET = 2.0
P99_TARGET = 2.0
_REQUESTS = 150_000
_COUNTED = 3000
_SETTLING_S = 1.0


async def measure_posts(url: str, directory: Path, effort: Effort, *, plotted: bool) -> Outcome:
    """Measure results stored a second, and their latency.

    url -- a database of the cluster in which each side gets a new database
    directory -- for the file of requests
    """
    requests = directory / "requests"
    write_requests(requests, _REQUESTS if effort.rounds > 1 else _REQUESTS // 10)
    outcome = Outcome()
    try:
        with ExitStack() as stack:
            urls = {name: await _new_database(url, f"bench_{name}") for name in ("ours", "peer")}
            sides = {"ours": stack.enter_context(serving(on_database(urls["ours"])))}
            await _migrate_by_serving(urls["peer"])
            sides["peer"] = stack.enter_context(_peer(urls["peer"]))
            outcome.notes.append(await _check_count(sides["ours"], urls["ours"]))
            await _warm_up(url, sides, requests, effort)
            runs = await _interleave(sides, urls, requests, effort)
            outcome.rows += _rows(runs)
            outcome.rows.append(memory_row(sides["ours"], "after the posts"))
            if plotted:
                outcome.plots.append(_plot(sides, requests, effort))
    finally:
        requests.unlink()
        for name in ("ours", "peer"):
            await _drop_database(url, f"bench_{name}")
    return outcome


@contextmanager
def _peer(url: str) -> Iterator[Server]:
    port = free_port()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with running([sys.executable, "-m", "bench.peer_insert", str(port), url], environment, port) as server:
        yield server


async def _migrate_by_serving(url: str) -> None:
    """Create the tables, by starting a server."""
    with serving(on_database(url)):
        await asyncio.sleep(_SETTLING_S)


async def _check_count(server: Server, url: str) -> str:
    """Check that every acknowledged result is stored, and no other. Raises RuntimeError."""
    source = signed_requests("counted")
    before = await _count(url)
    tally = await run_open_loop(
        server.port, [next(source) for _ in range(_COUNTED)], rate=1e9, connections=CONNECTIONS
    )
    stored = await _count(url) - before
    if not tally.ok == stored == _COUNTED:
        raise RuntimeError(f"{_COUNTED} posted, {tally.ok} acknowledged, {stored} stored")
    return f"{_COUNTED:,} posted over {CONNECTIONS} connections: {tally.ok:,} answered ok, {stored:,} rows"


async def _warm_up(url: str, sides: Mapping[str, Server], requests: Path, effort: Effort) -> None:
    """Run a round that does not count, and a checkpoint.

    This leaves segments of the write-ahead log to be recycled, as in a database that has run for some time. A new segment
    is filled with 16 MB of zeros and synced, which delayed both sides by 40 ms once a second.
    """
    for number, side in enumerate(sides.values()):
        _run(side, requests, CONNECTIONS, effort.seconds * 3, number)
    await execute(url, "CHECKPOINT")


async def _interleave(
    sides: Mapping[str, Server], urls: Mapping[str, str], requests: Path, effort: Effort
) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    for number in range(effort.rounds):
        for name, side in sides.items():
            await execute(urls[name], "CHECKPOINT")
            before = await _count(urls[name])
            run = _run(side, requests, CONNECTIONS, effort.seconds, number)
            await asyncio.sleep(_SETTLING_S)
            stored = await _count(urls[name]) - before
            # wrk ends without waiting for its last responses.
            if not 0 <= stored - run.requests <= CONNECTIONS:
                raise RuntimeError(f"{name}: {run.requests} acknowledged, {stored} stored")
            runs[name].append(run)
    return runs


def _run(side: Server, requests: Path, connections: int, seconds: int, number: int) -> Run:
    """Start every round at another request of the file."""
    run = run_wrk(side.url, connections=connections, seconds=seconds, requests=(requests, number * 20_000))
    if run.refused or run.broken:
        raise RuntimeError(f"posts failed: {run}")
    return run


def _rows(runs: Mapping[str, list[Run]]) -> list[Row]:
    pairs = list(zip(runs["ours"], runs["peer"], strict=True))
    shown = {
        name: (
            f"{median_of([run.rate for run in of_side]):,.0f}/s (p50 {in_ms(median_of([run.p50 for run in of_side]))})",
            in_ms(median_of([run.p99 for run in of_side])),
        )
        for name, of_side in runs.items()
    }
    name = f"post_stats, {CONNECTIONS} connections"
    return [
        Row.of_ratio(
            f"{name}, stored",
            shown["ours"][0],
            shown["peer"][0],
            median_of([one.rate / other.rate for one, other in pairs]),
            RATE_TARGET,
        ),
        Row.of_ratio(
            f"{name}, p99",
            shown["ours"][1],
            shown["peer"][1],
            median_of([other.p99 / one.p99 for one, other in pairs]),
            P99_TARGET,
        ),
    ]


def _plot(sides: Mapping[str, Server], requests: Path, effort: Effort) -> Plot:
    lines = {"ours": Line("ours", []), "peer": Line("one insert a request", [])}
    for connections in PLOTTED:
        for name, side in sides.items():
            run = _run(side, requests, connections, effort.seconds, connections % 5)
            lines[name].points.append((connections, run.rate))
    return Plot(
        "posts", "Signed results stored and committed", "connections", "results a second", [*lines.values()]
    )


async def _new_database(url: str, name: str) -> str:
    await _drop_database(url, name)
    await execute(url, f"CREATE DATABASE {name}")
    return urlsplit(url)._replace(path=f"/{name}").geturl()


async def _drop_database(url: str, name: str) -> None:
    await execute(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def _count(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM events"))
    finally:
        await connection.close()
