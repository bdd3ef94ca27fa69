"""Mixed load: GETs of a dashboard while results arrive."""

import asyncio
import itertools
import os
import sys
import time
from urllib.parse import urlencode

import msgspec

from bench.concurrent_clients import Tally, run_open_loop
from bench.effort import Effort
from bench.figures import Outcome, Row, in_ms, latency
from bench.paths import ROOT
from bench.plain_queries import PlainQueries
from bench.poster import Posted
from bench.questions import MODEL
from bench.server import Server

POSTS_A_S = 500.0
GETS_A_S = 100.0
CONNECTIONS = 8
LIMIT_MS = 25.0
_REGIONS = ("FRA", "MDW", "LAX", "SIN", "GLOBAL")
_MODELS = (
    MODEL,
    ("text-to-image", "stabilityai/sdxl"),
    ("llm", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
    ("audio-to-text", "openai/whisper-large-v3"),
)


async def measure_mixed_load(server: Server, url: str, effort: Effort) -> Outcome:
    """Measure the latency of the hot set under posts. server -- on the database at url"""
    paths = await hot_set(url)
    gets, posted = await run_mixed_load(server, paths, effort.mixed_load_s)
    samples = gets.samples
    name = f"{len(paths)} different GETs, {GETS_A_S:g}/s over {CONNECTIONS} connections, under {POSTS_A_S:g} posts/s"
    failed = f"; {len(samples.ms):,} answered, {gets.refused} refused, {gets.broken} broken off"
    return Outcome(
        rows=[
            Row.of_limit(name, latency(samples) + failed, samples.p99, LIMIT_MS, "ms"),
            Row(
                "the posts meanwhile",
                f"{posted.ok:,} of {posted.due:,} acknowledged, p50 {in_ms(posted.p50)}, p99 {in_ms(posted.p99)}",
            ),
        ]
    )


async def run_mixed_load(server: Server, paths: list[str], seconds: float) -> tuple[Tally, Posted]:
    """Send GETs from this process and posts from another. The latency of a GET counts from the time it was due."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.poster", str(server.port), str(POSTS_A_S), str(seconds),
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    reading = asyncio.create_task(process.communicate())
    await _wait_for_first_post(server, reading)
    end = time.monotonic() + seconds - 1
    requests = [f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode() for path in paths]
    number = round(GETS_A_S * seconds)
    gets = await run_open_loop(
        server.port,
        list(itertools.islice(itertools.cycle(requests), number)),
        rate=GETS_A_S,
        connections=CONNECTIONS,
        stop=lambda: time.monotonic() > end,
    )
    output, _ = await reading
    return gets, msgspec.json.decode(output, type=Posted)


async def _wait_for_first_post(server: Server, reading: "asyncio.Task[tuple[bytes, bytes]]") -> None:
    """Wait until the poster connects. It first makes its results, which takes a second or two."""
    for _ in range(1200):
        if reading.done():
            raise RuntimeError("the poster ended at once")
        if _connections(server.port) > CONNECTIONS:
            return
        await asyncio.sleep(0.05)


def _connections(port: int) -> int:
    """Return the number of open connections to a local port."""
    suffix = f":{port:04X}"
    with open("/proc/net/tcp") as file:
        lines = [line.split() for line in file.readlines()[1:]]
    return sum(fields[1].endswith(suffix) and fields[3] == "01" for fields in lines)


async def hot_set(url: str) -> list[str]:
    """Return twenty request targets as dashboards and gateways send them."""
    plain = await PlainQueries.connect(url)
    try:
        busiest = await plain.busiest_orchestrator()
        of_ai = (await plain.ai_orchestrators())[0]
    finally:
        await plain.connection.close()
    questions: list[tuple[str, dict[str, str]]] = [
        ("aggregated_stats", {}),
        *(("aggregated_stats", {"region": region}) for region in _REGIONS),
        ("aggregated_stats", {"orchestrator": busiest}),
        ("aggregated_stats", {"job_type": "ai"}),
        ("aggregated_stats", {"job_type": "ai", "region": "FRA"}),
        *(("aggregated_stats", {"pipeline": pipeline, "model": model}) for pipeline, model in _MODELS),
        ("top_ai_score", {}),
        ("top_ai_score", {"orchestrator": of_ai}),
        ("pipelines", {}),
        ("pipelines", {"region": "FRA"}),
        ("regions", {}),
        ("raw_stats", {"orchestrator": busiest, "region": "FRA"}),
        ("raw_stats", {"orchestrator": of_ai, "pipeline": MODEL[0], "model": MODEL[1]}),
    ]
    paths = [
        f"/api/{path}" + (f"?{urlencode(parameters)}" if parameters else "") for path, parameters in questions
    ]
    assert len(set(paths)) == 20
    return paths
