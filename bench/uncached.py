"""Uncached answers over HTTP against the plain query."""

import asyncio
import itertools
import time
from collections.abc import Iterator

from bench.agreement import DisagreementError, is_top
from bench.bodies import signed_requests
from bench.concurrent_clients import run_closed_loop
from bench.connection import Connection
from bench.effort import Effort
from bench.figures import Outcome, Row, Samples, latency
from bench.plain_queries import PlainQueries
from bench.questions import AI, ONE_MODEL, PIPELINES, TOP_TARGET, TRANSCODING, Work, moment, raw
from bench.server import Server
from orchboard.stats import JobType

DAY_S = 86400.0
CONNECTIONS = 8
WARMING = 3
_TRIES = 10


async def measure_uncached(server: Server, url: str, loaded_until: float, effort: Effort) -> Outcome:
    """Measure the latency of every work with one client and with eight, and of the plain query.

    server -- on the database at url, whose results of one day end at loaded_until (Unix seconds)
    """
    outcome = Outcome()
    plain = await PlainQueries.connect(url)
    try:
        with Connection(server.port) as connection:
            since = loaded_until - DAY_S
            works = (TRANSCODING, ONE_MODEL, AI, PIPELINES, raw(await plain.typical_orchestrator()))
            for work in works:
                rows = await work.ask_plain(plain, moment(since), moment(loaded_until))
                compared = work.compare(connection.get(work.url(since, loaded_until)).body, rows)
                outcome.notes.append(f"{work.name}: {compared:,} numbers or rows equal to the plain query's")
            await _check_top(connection, plain)
            fresh = (since + number * 1e-4 for number in itertools.count(1))
            for work in works:
                outcome.rows += await _measure(work, server, connection, plain, fresh, effort)
            outcome.rows += await _measure_top(server, connection, plain, effort)
    finally:
        await plain.connection.close()
    return outcome


async def _measure(
    work: Work,
    server: Server,
    connection: Connection,
    plain: PlainQueries,
    fresh: Iterator[float],
    effort: Effort,
) -> list[Row]:
    ours, theirs = Samples([]), Samples([])
    until = moment(time.time())
    size = 0
    for number in range(-WARMING, effort.questions):
        since = next(fresh)
        reply = connection.get(work.url(since))
        began_at = time.perf_counter()
        await work.ask_plain(plain, moment(since), until)
        plain_ms = (time.perf_counter() - began_at) * 1e3
        if number >= 0:
            ours.ms.append(reply.ms)
            theirs.ms.append(plain_ms)
            size = len(reply.body)
    requests = (_get(work.url(since)) for since in fresh)
    at_eight = await run_closed_loop(server.port, requests, connections=CONNECTIONS, seconds=effort.seconds)
    return _rows(
        f"{work.name} ({size / 1000:,.0f} kB)", ours, theirs, at_eight.samples, effort.seconds, work.target
    )


async def _measure_top(
    server: Server, connection: Connection, plain: PlainQueries, effort: Effort
) -> list[Row]:
    """Measure top_ai_score. It has no window to vary, so a new AI result invalidates it before each request."""
    results = signed_requests("top", job_type=JobType.AI)
    ours, theirs = Samples([]), Samples([])
    for number in range(-WARMING, effort.questions):
        connection.send(next(results))
        reply = connection.get("/api/top_ai_score")
        began_at = time.perf_counter()
        await plain.top(moment(time.time() - DAY_S), moment(time.time()))
        plain_ms = (time.perf_counter() - began_at) * 1e3
        if number >= 0:
            ours.ms.append(reply.ms)
            theirs.ms.append(plain_ms)
    everybody = await plain.ai_orchestrators()
    connection.send(next(results))
    requests = (_get(f"/api/top_ai_score?orchestrator={one}") for one in everybody)
    began_at = time.perf_counter()
    at_eight = await run_closed_loop(server.port, requests, connections=CONNECTIONS, seconds=effort.seconds)
    took_s = time.perf_counter() - began_at
    return _rows("top_ai_score, after a new result", ours, theirs, at_eight.samples, took_s, TOP_TARGET)


async def _check_top(connection: Connection, plain: PlainQueries) -> None:
    """Compare top_ai_score. Retried, because a result may leave the window between the two queries."""
    for _ in range(_TRIES):
        body = connection.get("/api/top_ai_score").body
        rows = await plain.top(moment(time.time() - DAY_S), moment(time.time()))
        if is_top(body, rows):
            return
        await asyncio.sleep(1)
    raise DisagreementError(f"top_ai_score: {body!r}, by the plain query {rows}")


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def _rows(
    name: str, ours: Samples, theirs: Samples, at_eight: Samples, seconds: float, target: float
) -> list[Row]:
    rate = f"{len(at_eight.ms) / seconds:,.0f}/s"
    return [
        Row.of_ratio(name, latency(ours), latency(theirs), theirs.p50 / ours.p50, target),
        Row(f"{name}, at {CONNECTIONS} connections", f"{latency(at_eight)}, {rate}"),
    ]
