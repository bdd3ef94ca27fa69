"""Rows changed by other programs with SQL: answers and rollups soon agree with a plain query."""

import asyncio
import time
from pathlib import Path

import asyncpg

from chaos.historical_results import differences, fill, wait_until_built
from chaos.postgres import one_postgres
from chaos.server_process import ServerProcess, running
from chaos.verdict import Scale, Verdict

# Results, and the days over which they are spread.
_SIZES = {Scale.SMALL: (4_000, 20.0), Scale.FULL: (400_000, 365.0)}

SEEN_WITHIN_S = 1.0
BUILT_WITHIN_S = 60.0
_LIMIT_S = 1200.0

# Windows in hours: the tail, today, this week, everything.
_WINDOWS = (0.5, 24.0, 170.0, 24.0 * 400)

_CHANGES = {
    "old results deleted": "DELETE FROM events WHERE event_time < now() - interval '10 days'",
    "new results deleted": "DELETE FROM events WHERE event_time > now() - interval '3 hours'",
    "inserted earlier today": """
        INSERT INTO events (event_time, orchestrator, region_id, payload)
        SELECT now() - n * interval '13 minutes', '0x' || repeat('f', 40), min(id), '{"success_rate": 1}'
        FROM regions, generate_series(1, 90) n GROUP BY n""",
    "payloads updated": """UPDATE events SET payload = payload || '{"success_rate": 0.125}' WHERE id % 9 = 0""",
    "a region renamed": "UPDATE regions SET name = 'XYZ' WHERE name = 'FRA'",
    "an orchestrator renamed": "UPDATE events SET orchestrator = '0x' || repeat('e', 40) WHERE id % 40 = 3",
    "the table truncated": "TRUNCATE events",
}


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Verdicts on the time until answers are right, and until rollups are."""
    results, days = _SIZES[scale]
    async with one_postgres(directory) as postgres:
        with (
            running(directory / "one", POSTGRES=postgres.url("board")) as one,
            running(directory / "two", POSTGRES=postgres.url("board")) as two,
        ):
            async with asyncio.timeout(_LIMIT_S):
                await one.wait_until_healthy()
                await two.wait_until_healthy()
                connection = await asyncpg.connect(postgres.url("board"))
                try:
                    await fill(connection, results, days)
                    await wait_until_built(connection, spans=20)
                    seen, built = [], []
                    for statement in _CHANGES.values():
                        await connection.execute(statement)
                        changed_at = time.monotonic()
                        seen.append(await _until_seen(connection, (one, two), changed_at))
                        await wait_until_built(connection)
                        built.append(time.monotonic() - changed_at)
                        await _until_seen(connection, (one, two), time.monotonic())
                finally:
                    await connection.close()
    setup = f"{len(_CHANGES)} kinds of changes by SQL to {results:,} results of {days:g} days, two servers"
    return [
        Verdict(
            f"foreign writes: {setup}",
            f"every window of both servers right after at most {max(seen):.2f} s",
            f"within {SEEN_WITHIN_S:g} s",
            max(seen) <= SEEN_WITHIN_S,
        ),
        Verdict(
            "rollups rebuilt after that",
            f"at most {max(built):.1f} s ({', '.join(_CHANGES)})",
            f"within {BUILT_WITHIN_S:g} s",
            max(built) <= BUILT_WITHIN_S,
        ),
    ]


async def _until_seen(
    connection: "asyncpg.Connection[asyncpg.Record]", programs: tuple[ServerProcess, ...], changed_at: float
) -> float:
    """Seconds from the change to the last query with a wrong answer; 0: there was none."""
    wrong_at = changed_at
    for program in programs:
        for hours in _WINDOWS:
            while True:
                asked_at = time.monotonic()
                if not await differences(connection, program, hours):
                    break
                wrong_at = max(wrong_at, asked_at)
                await asyncio.sleep(0.02)
    return wrong_at - changed_at
