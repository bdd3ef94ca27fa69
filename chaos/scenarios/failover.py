"""Failover: the primary is killed under posts and reads, and its synchronous standby is promoted. No acknowledged result
is lost, writes continue soon, reads continue always."""

import asyncio
import time
from pathlib import Path

from chaos.ledger import Ledger
from chaos.post_load import posting, wait_until_acknowledged
from chaos.postgres import Postgres, stop_at_exit
from chaos.read_load import Reads, reading
from chaos.server_process import running
from chaos.verdict import Scale, Verdict

# (posting connections, acknowledgements before and after, seconds without a primary)
_SIZES = {Scale.SMALL: (16, 200, 0.5), Scale.FULL: (32, 10_000, 10.0)}

BACK_WITHIN_S = 5.0
_LIMIT_S = 240.0


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Verdicts on lost results, on the time until writes continue, and on reads."""
    connections, results, away_s = _SIZES[scale]
    primary = Postgres(directory / "primary")
    standby = Postgres(directory / "standby", password=primary.password)
    ledger, reads = Ledger(), Reads()
    with stop_at_exit(standby, primary):
        await _pair(primary, standby)
        url = primary.url("board", other=standby, options="?target_session_attrs=read-write")
        with running(directory / "server", POSTGRES=url) as program:
            async with asyncio.timeout(_LIMIT_S):
                await program.wait_until_healthy()
                async with posting(program.port, ledger, connections), reading(program.port, reads):
                    await wait_until_acknowledged(ledger, results)
                    before = len(ledger.acknowledged)
                    primary.kill()
                    await asyncio.sleep(away_s)
                    await asyncio.to_thread(standby.promote)
                    promoted_at, at_promotion = time.monotonic(), len(ledger.acknowledged)
                    # Not by acknowledgements, which the spool gives without a primary.
                    stored_before = await _stored(standby)
                    while await _stored(standby) == stored_before:  # noqa: ASYNC110 - waits for other processes
                        await asyncio.sleep(0.01)
                    back_after_s = time.monotonic() - promoted_at
                    await wait_until_acknowledged(ledger, at_promotion + results)
            findings = await ledger.compare(program.port)
    setup = f"primary killed under {connections} posting connections, standby promoted {away_s:g} s later"
    return [
        Verdict(f"failover: {setup}", f"{findings}", "lost 0, twice 0", findings.is_clean),
        Verdict(
            "writes after the promotion",
            f"back after {back_after_s:.2f} s ({at_promotion - before} acknowledged meanwhile)",
            f"within {BACK_WITHIN_S:g} s",
            back_after_s <= BACK_WITHIN_S,
        ),
        Verdict(
            "reads during the failover",
            f"{reads}",
            "all 200",
            reads.answered > 0 and not reads.others,
        ),
    ]


async def _stored(server: Postgres) -> object:
    return await server.execute("SELECT count(*) FROM events", database="board")


async def _pair(primary: Postgres, standby: Postgres) -> None:
    """Start a primary and a synchronous standby."""
    primary.make()
    primary.start()
    await primary.wait_until_ready()
    standby.make_standby(primary)
    standby.start()
    await standby.wait_until_ready()
    await primary.execute(
        "CREATE DATABASE board", "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"
    )
    is_followed = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'"
    async with asyncio.timeout(30):
        while not await primary.execute(is_followed):  # noqa: ASYNC110 - waits for another process
            await asyncio.sleep(0.05)
