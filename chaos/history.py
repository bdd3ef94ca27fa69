"""A database with a past: results of every orchestrator and region over days, and what the plain query says of them."""

import asyncio
import math
from typing import Any

import asyncpg
import msgspec

from chaos.program import Program
from chaos.wire import Caller, get

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
    """Store results over so many days, most of them lately."""
    await connection.execute(_FILL, results, days)


async def until_built(connection: "asyncpg.Connection[asyncpg.Record]", spans: int = 0) -> None:
    """Wait until there are so many rollups, and none that is invalid."""
    while (  # noqa: ASYNC110 - another program is waited for
        await connection.fetchval("SELECT count(*) FROM rollup_buckets WHERE is_materialized") < spans
        or await connection.fetchval(_INVALID) > 0
    ):
        await asyncio.sleep(0.05)


async def differences(
    connection: "asyncpg.Connection[asyncpg.Record]", program: Program, hours: float
) -> list[Any]:
    """Where the scores of the last hours are not those of the plain query."""
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
