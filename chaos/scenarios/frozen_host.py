"""A host freezes during a background transaction: the other hosts continue."""

import asyncio
import signal
import time
from pathlib import Path

import asyncpg

from chaos.historical_results import differences, fill, wait_until_built
from chaos.ledger import Ledger
from chaos.post_load import posting, wait_until_acknowledged
from chaos.postgres import one_postgres
from chaos.server_process import ServerProcess, running
from chaos.verdict import Scale, Verdict

# Results, days, number of freezes, and results posted during each.
_SIZES = {Scale.SMALL: (3_000, 20.0, 1, 50), Scale.FULL: (50_000, 365.0, 5, 2_000)}

# Postgres ends the transaction after 10 s, and another server starts a maintenance round every 10 s.
BUILT_WITHIN_S = 40.0
_LIMIT_S = 900.0

_IDLE = """
SELECT pid FROM pg_stat_activity
WHERE datname = 'board' AND state = 'idle in transaction' AND pid = ANY($1::integer[])
"""
_BACKENDS = "SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = 'board' AND pid <> pg_backend_pid()"


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Verdicts on rollups, and on results posted to the other host."""
    results, days, times, posts = _SIZES[scale]
    slowest_s, wrong, lost = 0.0, 0, []
    async with one_postgres(directory) as postgres:
        async with asyncio.timeout(_LIMIT_S):
            for number in range(times):
                connection = await asyncpg.connect(postgres.url("board"))
                try:
                    with running(directory / f"frozen{number}", POSTGRES=postgres.url("board")) as frozen:
                        await frozen.wait_until_healthy()
                        await fill(connection, results, days)
                        await _freeze(connection, frozen)
                        frozen_at = time.monotonic()
                        with running(directory / f"other{number}", POSTGRES=postgres.url("board")) as other:
                            await other.wait_until_healthy()
                            ledger = Ledger(number)
                            async with posting(other.port, ledger, 2):
                                await wait_until_acknowledged(ledger, posts)
                            wrong += len(await differences(connection, other, 24 * 400.0))
                            lost.append(await ledger.compare(other.port))
                            await wait_until_built(connection, spans=20)
                            slowest_s = max(slowest_s, time.monotonic() - frozen_at)
                            wrong += len(await differences(connection, other, 24 * 400.0))
                        frozen.send_signal(signal.SIGCONT)
                finally:
                    await connection.close()
    return [
        Verdict(
            f"frozen host: one of two frozen {times} times while it built rollups",
            f"the other had built all of them after at most {slowest_s:.1f} s",
            f"within {BUILT_WITHIN_S:g} s",
            slowest_s <= BUILT_WITHIN_S,
        ),
        Verdict(
            "answers and results of the other host during the freeze",
            f"{wrong} wrong cells; {'; '.join(map(str, lost))}",
            "0; lost 0, twice 0",
            not wrong and all(findings.is_clean for findings in lost),
        ),
    ]


async def _freeze(connection: "asyncpg.Connection[asyncpg.Record]", program: ServerProcess) -> None:
    """Freeze a server while one of its transactions is open."""
    while True:
        backends = await connection.fetchval(_BACKENDS) or []
        if await connection.fetch(_IDLE, backends):
            program.send_signal(signal.SIGSTOP)
            await asyncio.sleep(0.1)  # requests in flight arrive
            if await connection.fetch(_IDLE, backends):
                return
            program.send_signal(signal.SIGCONT)
