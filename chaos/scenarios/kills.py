"""Kills of any process: every acknowledged result is stored once."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from chaos.ledger import Findings, Ledger
from chaos.post_load import posting, wait_until_acknowledged
from chaos.server_process import ServerProcess, running
from chaos.verdict import Scale, Verdict

CONNECTIONS = 32

# (kills of each kind, acknowledgements between two kills, acknowledgements in total)
_SIZES = {Scale.SMALL: (2, 100, 600), Scale.FULL: (20, 1700, 100_000)}

# Maximum random delay of a kill after the acknowledgements that it waits for.
_JITTER_S = 0.2

_CYCLE_LIMIT_S = 90.0

Kill = Callable[[ServerProcess], Awaitable[None]]


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """A verdict for each kind of killed process, and one on the number of acknowledgements."""
    kinds: list[tuple[str, str, Kill]] = [
        ("the server", "1", _kill_server),
        ("a worker of two", "2", _kill_worker),
        ("the postmaster", "1", _kill_postmaster),
    ]
    kills, between, in_sum = _SIZES[scale]
    verdicts, acknowledged = [], 0
    for number, (name, workers, kill) in enumerate(kinds):
        with running(directory / "kills", WORKERS=workers) as program:
            findings = await _kill_under_load(program, Ledger(number), kill, kills=kills, between=between)
        acknowledged += findings.acknowledged
        verdicts.append(
            Verdict(
                f"acknowledged results are stored, SIGKILL of {name}",
                f"{kills} kills under {CONNECTIONS} posting connections: {findings}",
                "lost 0, twice 0",
                findings.is_clean,
            )
        )
    verdicts.append(
        Verdict(
            "acknowledgements in total", f"{acknowledged:,}", f"at least {in_sum:,}", acknowledged >= in_sum
        )
    )
    return verdicts


async def _kill_under_load(
    program: ServerProcess, ledger: Ledger, kill: Kill, *, kills: int, between: int
) -> Findings:
    draw = random.Random(between)
    await program.wait_until_healthy()
    async with posting(program.port, ledger, CONNECTIONS):
        for _ in range(kills):
            async with asyncio.timeout(_CYCLE_LIMIT_S):
                await wait_until_acknowledged(ledger, len(ledger.acknowledged) + between)
                await asyncio.sleep(draw.uniform(0, _JITTER_S))
                await kill(program)
                await program.wait_until_healthy()
        async with asyncio.timeout(_CYCLE_LIMIT_S):
            await wait_until_acknowledged(ledger, len(ledger.acknowledged) + between)
    return await ledger.compare(program.port)


async def _kill_server(program: ServerProcess) -> None:
    program.send_signal(signal.SIGKILL)
    await program.wait_until_ended()
    program.start()


async def _kill_worker(program: ServerProcess) -> None:
    """Kill a worker, and wait until another replaces it."""
    before = program.workers()
    os.kill(before[0], signal.SIGKILL)
    await _until(lambda: before[0] not in (now := program.workers()) and len(now) == len(before))


async def _kill_postmaster(program: ServerProcess) -> None:
    """Kill the Postgres server, and wait until another replaces it."""
    before = program.postmaster()
    assert before is not None, "an embedded Postgres runs"
    os.kill(before, signal.SIGKILL)
    await _until(lambda: program.postmaster() not in (None, before))


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - waits for other processes; the caller sets a timeout
        await asyncio.sleep(0.01)
