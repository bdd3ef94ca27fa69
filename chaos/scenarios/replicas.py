"""Replicas: servers that start at once on one database migrate it once, and all serve."""

import asyncio
import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import asyncpg

from chaos.http_client import Failure, ask_once, get
from chaos.postgres import Postgres, stop_at_exit
from chaos.server_process import ServerProcess, running
from chaos.verdict import Scale, Verdict
from orchboard.store.schema.migrate import fetch_schema_version, migrate_to
from orchboard.store.schema.migration_files import load_migrations
from orchboard.store.schema.version_tables import LAST_SHARED

# (replicas, results of the reference server)
_SIZES = {Scale.SMALL: (4, 1000), Scale.FULL: (16, 100_000)}

_LIMIT_S = 300.0

# Results over ten days, as the reference server stores them.
_FILL = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT now() - n * interval '10 days' / {number}, '0x' || lpad((n % 50)::text, 40, '0'), r.id,
       jsonb_build_object('orchestrator', '0x' || lpad((n % 50)::text, 40, '0'), 'region', 'MDW', 'success_rate', 1, 'seg_duration', 2,
                          'round_trip_time', 1 + n % 7, 'timestamp', n)
FROM generate_series(0, {number} - 1) n, regions r JOIN job_types j ON j.id = r.job_type_id
WHERE r.name = 'MDW' AND j.name = 'transcoding'
"""

_QUESTIONS = ("/api/health", "/api/regions", "/api/aggregated_stats", "/api/aggregated_stats?since=0")


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Verdicts on an empty database, and on a database of the reference server's version 3 with results."""
    replicas, results = _SIZES[scale]
    postgres = Postgres(directory / "postgres")
    postgres.make()
    with stop_at_exit(postgres):
        postgres.start()
        await postgres.wait_until_ready()
        return [
            await _start(postgres, directory / f"of-{number}", replicas=replicas, results=number)
            for number in (0, results)
        ]


async def _start(postgres: Postgres, directory: Path, *, replicas: int, results: int) -> Verdict:
    database = f"board_{results}"
    url = postgres.url(database)
    if results:
        await postgres.execute(f"CREATE DATABASE {database}")
        await migrate_to(lambda: asyncpg.connect(url), LAST_SHARED)
        await postgres.execute(_FILL.format(number=results), database=database)
    with ExitStack() as stack:
        programs = [
            stack.enter_context(running(directory / str(number), POSTGRES=url, LOG_LEVEL="debug"))
            for number in range(replicas)
        ]
        async with asyncio.timeout(_LIMIT_S):
            await asyncio.gather(*(program.wait_until_healthy() for program in programs))
            answers = {question: await _ask(programs, question) for question in _QUESTIONS}
        stored = await postgres.execute("SELECT count(*) FROM results", database=database)
        assert isinstance(stored, int)
    ledger = await fetch_schema_version(lambda: asyncpg.connect(url))
    ran, errors = Counter[int](), list[str]()
    for program in programs:
        _read_log(program, ran, errors)
    first = LAST_SHARED + 1 if results else 1
    latest = len(load_migrations())
    wanted = dict.fromkeys(range(first, latest + 1), 1)
    is_alike = all(number == 1 and statuses == {200} for number, statuses in answers.values())
    is_met = (
        ran == wanted
        and not errors
        and is_alike
        and (ledger.version, ledger.dirty, stored) == (latest, False, results)
    )
    return Verdict(
        f"replicas on {f'version {LAST_SHARED} with {results:,} results' if results else 'an empty database'}",
        f"{replicas} started at once: versions {first} to {latest} run {sorted(set(ran.values()))} times each, "
        f"{len(errors)} errors in the logs, {len(answers)} queries answered "
        f"{'equally with 200' if is_alike else f'differently: {answers}'} by all, {stored:,} results"
        + "".join(f"; {error}" for error in errors[:3]),
        "one run each, 0 errors, all equal",
        is_met,
    )


async def _ask(programs: list[ServerProcess], question: str) -> tuple[int, set[int]]:
    try:
        replies = await asyncio.gather(*(ask_once(program.port, get(question)) for program in programs))
    except Failure:
        return 0, set()
    # Scores are not ordered by orchestrator.
    bodies = {json.dumps(json.loads(reply.body), sort_keys=True) for reply in replies}
    return len(bodies), {reply.status for reply in replies}


def _read_log(program: ServerProcess, ran: Counter[int], errors: list[str]) -> None:
    """Record the migrations that a replica ran, and its errors."""
    for line in program.log.read_text().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            if not line.startswith(("orchboard is at", "its data is in", "a first result")):
                errors.append(line)
            continue
        if event["event"] == "schema migrated":
            ran[event["version"]] += 1
        elif event["level"] not in ("debug", "info", "warning"):
            errors.append(line)
