"""Expensive queries from one address: other clients are answered, results are stored, memory does not grow."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from chaos.expensive_readers import Attack, ReaderReport, attacking
from chaos.http_client import Caller, Failure, get
from chaos.ledger import Ledger
from chaos.post_load import posting
from chaos.postgres import one_postgres
from chaos.scenarios.database_away import on_disk
from chaos.server_process import ServerProcess, running
from chaos.verdict import Scale, Verdict

_DAYS = 30
_BIG = "0xb1600000000000000000000000000000000b1600"
_LARGE = f"/api/raw_stats?orchestrator={_BIG}&job_type=ai&since=1"

# Posts change neither answer, so they are served from the cache.
_CACHED = ("/api/regions", "/api/pipelines?until=1700000000")

_QUIET_S = 3.0
_CACHED_P99_S, _NEW_S, _MEMORY_MB = 0.05, 2.0, 40.0

# An orchestrator with results in four regions, 28 MB in one answer.
_BIG_RESULTS = f"""
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT now() - n * interval '8 seconds', '{_BIG}', r.id, jsonb_build_object(
    'region', r.name, 'orchestrator', '{_BIG}', 'success_rate', 1, 'round_trip_time', 2.5, 'timestamp', n,
    'model', 'm', 'pipeline', 'p', 'response_payload', (SELECT string_agg(md5(n * 100 + k || ''), '')
    FROM generate_series(1, 80) k)
)
FROM generate_series(1, {{number}}) n
JOIN LATERAL (
    SELECT r.id, r.name FROM regions r JOIN job_types j ON j.id = r.job_type_id
    WHERE j.name = 'ai' ORDER BY r.id OFFSET n % 4 LIMIT 1
) r ON true
"""


class Size(Struct, frozen=True):
    """Parameters: results in the database, duration, connections of the attacker."""

    results: int
    big_results: int
    seconds: float
    questions: int
    large_answers: int


_SIZES = {
    Scale.SMALL: Size(results=20_000, big_results=2000, seconds=4, questions=16, large_answers=4),
    Scale.FULL: Size(results=500_000, big_results=9500, seconds=15, questions=38, large_answers=12),
}


class Good:
    """The measurements of clients with few queries, at another address."""

    def __init__(self) -> None:
        self.cached_s: list[float] = []
        self.new_s: list[float] = []
        self.failures: list[str] = []

    async def ask(self, port: int, target: Callable[[], str], took: list[float], pause_s: float) -> None:
        """Send queries until cancelled."""
        async with Caller(port) as caller:
            while True:
                asked = target()
                began_at = time.perf_counter()
                try:
                    reply = await caller.ask(get(asked))
                    if reply.status != 200 or b"\r\nwarning:" in reply.head.lower():
                        self.failures.append(f"{reply.status} for {asked}")
                except Failure as failure:
                    self.failures.append(f"{failure} for {asked}")
                took.append(time.perf_counter() - began_at)
                await asyncio.sleep(pause_s)


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Verdicts on other readers, on testers, on the server's view of its database, and on its memory."""
    size = _SIZES[scale]
    async with one_postgres(directory) as postgres:
        url = postgres.url("board")
        with (
            on_disk(directory) as data,
            running(directory / "server", POSTGRES=url, ORCHBOARD_DATA=str(data)) as program,
        ):
            await program.wait_until_healthy()
            await asyncio.to_thread(_load, url, size.results)
            await postgres.execute(
                _BIG_RESULTS.format(number=size.big_results), "VACUUM ANALYZE", database="board"
            )
            await _until_summed_up(program.port)
            return await _prove(size, program)


async def _prove(size: Size, program: ServerProcess) -> list[Verdict]:
    good, ledger, draw = Good(), Ledger(), random.Random(2)
    attack = Attack(program.port, size.questions, size.large_answers, _LARGE, _DAYS * 86400.0, size.seconds)
    for target in _CACHED:
        async with Caller(program.port) as caller:
            await caller.ask(get(target))
    idle_kb = _memory_kb(program.pid, "VmRSS")

    def new() -> str:
        return f"/api/aggregated_stats?since={time.time() - draw.random() * _DAYS * 86400:.6f}"

    asked: list[Awaitable[None]] = [
        good.ask(program.port, lambda: draw.choice(_CACHED), good.cached_s, 0.01) for _ in range(4)
    ]
    asked += [
        good.ask(program.port, new, good.new_s, 0.2),
        good.ask(program.port, lambda: "/api/health", [], 0.2),
    ]
    alone = await _quiet(good, program.port)
    with attacking(attack) as report:
        async with posting(program.port, ledger, 2):
            asking = [asyncio.ensure_future(each) for each in asked]
            seen: ReaderReport = await asyncio.to_thread(report.recv)
            for each in asking:
                each.cancel()
    peak_kb = _memory_kb(program.pid, "VmHWM")
    return [
        _readers(good, seen, alone),
        await _testers(ledger, program),
        Verdict(
            "Memory during the attack",
            f"{idle_kb / 1024:.0f} MB before, {peak_kb / 1024:.0f} MB at most",
            f"at most {_MEMORY_MB:.0f} MB more",
            peak_kb - idle_kb < _MEMORY_MB * 1024,
        ),
    ]


async def _quiet(good: Good, port: int) -> float:
    """The 99th percentile of the latency of cached answers before the attack, in seconds."""
    took: list[float] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(_QUIET_S):
            await good.ask(port, lambda: _CACHED[0], took, 0.01)
    return sorted(took)[int(len(took) * 0.99)]


def _readers(good: Good, seen: ReaderReport, alone_s: float) -> Verdict:
    cached = sorted(good.cached_s)
    p99_s, slowest_s = cached[int(len(cached) * 0.99)], max(good.new_s)
    statuses = ", ".join(
        f"{number:,} with {status or 'none'}" for status, number in sorted(seen.statuses.items())
    )
    return Verdict(
        "Expensive queries do not crowd out readers",
        f"{len(cached):,} cached answers, p99 {p99_s * 1e3:.1f} ms, before "
        f"{alone_s * 1e3:.1f} ms; {len(good.new_s)} new queries, the slowest "
        f"{slowest_s * 1e3:.0f} ms; {len(good.failures)} failed {good.failures[:3] or ''}. The attacker got "
        f"{statuses}, and {seen.whole} complete large answers",
        f"p99 under {_CACHED_P99_S * 1e3:.0f} ms, new ones within {_NEW_S:.0f} s, none refused",
        p99_s < _CACHED_P99_S and slowest_s < _NEW_S and not good.failures,
    )


async def _testers(ledger: Ledger, program: ServerProcess) -> Verdict:
    findings = await ledger.compare(program.port)
    warnings = [line for line in program.log.read_text().splitlines() if line.startswith("{")]
    return Verdict(
        "Nor testers, and the database is not considered away",
        f"{findings}; {len(warnings)} warnings in the log {' '.join(warnings)[:300]}",
        "every result `ok`, no warning",
        findings.is_clean and not findings.unsure and not warnings,
    )


def _load(url: str, results: int) -> None:
    command = [sys.executable, "-m", "orchboard", "simulate", "load"]
    command += ["--days", str(_DAYS), "--results", str(results)]
    subprocess.run(command, env={**os.environ, "POSTGRES": url}, check=True, stdout=subprocess.DEVNULL)


async def _until_summed_up(port: int) -> None:
    """Wait until a query over all time has its usual latency."""
    async with asyncio.timeout(120), Caller(port) as caller:
        while True:
            began_at = time.perf_counter()
            reply = await caller.ask(get(f"/api/aggregated_stats?since={time.time() - _DAYS * 86400:.6f}"))
            if msgspec.json.decode(reply.body) and time.perf_counter() - began_at < 0.1:
                return
            await asyncio.sleep(1)


def _memory_kb(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
