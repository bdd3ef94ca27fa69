"""Fills a database with results of some days, and compares the server's scores with a plain query."""

import asyncio
import math
from typing import Any

import asyncpg
import msgspec

from chaos.http_client import Caller, get
from chaos.server_process import ServerProcess

_FILL = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT
    now() - $2::float8 * interval '1 day' * power(random(), 2),
    '0xb' || lpad(to_hex(n % 40), 39, '0'),
    (SELECT r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id
     WHERE j.name = 'transcoding' AND r.name = (ARRAY['FRA', 'MDW', 'LAX', 'SIN'])[1 + n % 4]),
    jsonb_build_object('success_rate', round(random()::numeric, 3), 'round_trip_time', 1, 'seg_duration', 2)
FROM generate_series(1, $1::integer) n
"""

_PLAIN = """
SELECT lower(e.orchestrator) AS orchestrator, r.name AS region, avg(e.success_rate) AS success_rate
FROM results e
JOIN regions r ON r.id = e.region_id
JOIN job_types j ON j.id = r.job_type_id
WHERE j.name = 'transcoding' AND e.is_scored AND e.orchestrator <> '' AND e.event_time >= now() - $1::float8 * interval '1 hour'
GROUP BY 1, 2
"""

_INVALID = """
SELECT (SELECT count(*) FROM rollup_invalidations WHERE NOT is_applied)
     + (SELECT count(*) FROM rollup_buckets WHERE NOT is_materialized AND bucket_end < now() - interval '90 seconds')
"""


async def fill(connection: "asyncpg.Connection[asyncpg.Record]", results: int, days: float) -> None:
    """Insert results over some days, most of them recent."""
    await connection.execute(_FILL, results, days)


async def wait_until_built(connection: "asyncpg.Connection[asyncpg.Record]", spans: int = 0) -> None:
    """Wait until at least `spans` rollup buckets are built and none is invalid."""
    while (  # noqa: ASYNC110 - waits for another process
        await connection.fetchval("SELECT count(*) FROM rollup_buckets WHERE is_materialized") < spans
        or await connection.fetchval(_INVALID) > 0
    ):
        await asyncio.sleep(0.05)


async def differences(
    connection: "asyncpg.Connection[asyncpg.Record]", program: ServerProcess, hours: float
) -> list[Any]:
    """The cells whose scores over the last hours differ from the plain query."""
    since = await connection.fetchval("SELECT extract(EPOCH FROM now())::float8") - hours * 3600
    plain = {
        (row["orchestrator"], row["region"]): row["success_rate"]
        for row in await connection.fetch(_PLAIN, hours)
    }
    async with Caller(program.port) as caller:
        reply = await caller.ask(get(f"/api/aggregated_stats?since={since:.6f}"))
    assert reply.status == 200, reply
    found = {
        (orchestrator, region): cell["success_rate"]
        for orchestrator, cells in msgspec.json.decode(reply.body).items()
        for region, cell in cells.items()
    }
    wrong: list[Any] = sorted(plain.keys() ^ found.keys())
    return wrong + [
        key
        for key in plain.keys() & found.keys()
        if not math.isclose(plain[key], found[key], rel_tol=1e-9, abs_tol=1e-12)
    ]
