"""Slow clients: 2,000 connections that send or read a few bytes are closed within 15 s; others are hardly slower."""

import asyncio
import json
import os
import resource
from pathlib import Path
from statistics import median

from bench.paths import SECRET
from bench.server import serving
from chaos.latency_probe import Latency, measure_latency, post
from chaos.slow_client_load import ClosedAfter, Kind, SlowClients, run_slow_clients
from chaos.verdict import Scale, Verdict

LIMIT_S = 15.0

_CLIENTS = {Scale.FULL: 2000, Scale.SMALL: 60}
_ROUNDS = {Scale.FULL: 4, Scale.SMALL: 1}

_TARGET = "/api/raw_stats?orchestrator=0xslow&job_type=ai"


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Alternate between quiet and attack on a server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    await asyncio.to_thread(directory.chmod, 0o755)  # root's Postgres runs as another user
    environment = {**os.environ, "ORCHBOARD_DATA": str(directory / "data")}
    environment.pop("POSTGRES", None)
    with serving(environment) as server:
        wave = SlowClients(server.port, _CLIENTS[scale], _TARGET, every_s=3.0, limit_s=LIMIT_S)
        return await attack(wave, rounds=_ROUNDS[scale], secret=SECRET, quiet_s=12.0)


async def attack(wave: SlowClients, *, rounds: int, secret: str, quiet_s: float) -> list[Verdict]:
    """The verdicts on a running server.

    quiet_s -- seconds of each round in which other clients are measured alone
    """
    payload = "x" * 300_000
    for number in range(2):
        result = {
            "region": "FRA",
            "orchestrator": "0xslow",
            "pipeline": "p",
            "model": "m",
            "timestamp": number,
            "response_payload": payload,
        }
        await asyncio.to_thread(post, wave.port, json.dumps(result).encode(), secret)
    await measure_latency(wave.port, 1.0)
    quiet: list[Latency] = []
    busy: list[Latency] = []
    seen: list[ClosedAfter] = []
    for _ in range(rounds):
        quiet.append(await measure_latency(wave.port, quiet_s))
        with run_slow_clients(wave) as outcome:
            latency, outcome_of_round = await asyncio.gather(
                measure_latency(wave.port, wave.limit_s), asyncio.to_thread(outcome.recv)
            )
        busy.append(latency)
        seen.append(outcome_of_round)
    return [_closed(wave, seen), _unmoved(quiet, busy)]


def _closed(wave: SlowClients, seen: list[ClosedAfter]) -> Verdict:
    longest = {
        kind: max((max(each.closed_after_s[kind], default=0.0) for each in seen), default=0.0)
        for kind in Kind
    }
    still_open = sum(sum(each.open.values()) for each in seen)
    figure = ", ".join(f"{kind} {longest[kind]:.1f} s" for kind in Kind)
    return Verdict(
        f"{wave.clients:,} connections that trickle are closed",
        f"{len(seen)} rounds, the longest open: {figure}; {still_open} still open at the end",
        f"all within {wave.limit_s:.0f} s",
        still_open == 0 and max(longest.values()) <= wave.limit_s,
    )


def _unmoved(quiet: list[Latency], busy: list[Latency]) -> Verdict:
    before, during = (median(each.p99_ms for each in latencies) for latencies in (quiet, busy))
    failed = sum(each.failed for each in quiet + busy)
    return Verdict(
        "Other clients meanwhile",
        f"p99 {during:.2f} ms, alone {before:.2f} ms ({during / before:.2f}x; medians of {len(quiet)} rounds), "
        f"{sum(each.asked for each in busy):,} requests, {failed} failed",
        "p99 under 2x",
        during < 2 * before and failed == 0,
    )
