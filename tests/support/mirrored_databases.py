"""Helpers for tests of orchboard mirror: results of the source, and those of a copy."""

from collections.abc import Callable
from typing import Any

import asyncpg

from tests.support.database import run

FAST = ("--rate", "10000")


# Three orchestrators in both job types, tested a few seconds before the receipt; now and then by a clock that is wrong.
# Each result of $1 spread over $2 hours; every twentieth is there twice.
RESULTS = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT r.event_time, r.orchestrator, g.id, jsonb_build_object(
    'region', g.name, 'orchestrator', r.orchestrator, 'errors', '[]'::jsonb, 'round_trip_time', 1 + n % 7 * 0.37,
    'success_rate', CASE WHEN n % 9 = 0 THEN 0.5 ELSE 1 END, 'segments_sent', n,
    'timestamp', CASE n % 50 WHEN 1 THEN 0 WHEN 2 THEN 4102444800 WHEN 3 THEN floor(e * 1000) ELSE floor(e) - n % 12 END
) || CASE j.name
    WHEN 'ai' THEN jsonb_build_object('pipeline', 'p <' || n % 2 || '>', 'model', 'm&' || n % 3, 'model_is_warm', true)
    ELSE jsonb_build_object('seg_duration', 2.5)
END
FROM generate_series(1, $1::integer) n,
LATERAL (
    SELECT date_trunc('hour', now()) - interval '1 second' - $2::integer * interval '1 hour' * n / $1::integer,
           '0x' || repeat('0', 39) || n % 3
) r (event_time, orchestrator),
LATERAL extract(EPOCH FROM r.event_time) e,
generate_series(0, (n % 20 = 0)::integer) twice,
regions g JOIN job_types j ON j.id = g.job_type_id
WHERE g.name = CASE n % 2 WHEN 0 THEN 'FRA' ELSE 'MDW' END
"""


async def _fetch(url: str, statement: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(statement, *arguments)
    finally:
        await connection.close()


def fetch(url: str, statement: str, *arguments: object) -> list[Any]:
    rows: list[Any] = run(_fetch(url, statement, *arguments))
    return rows


def add(url: str, results: int, hours: int) -> None:
    fetch(url, RESULTS, results, hours)


def count(url: str) -> int:
    return int(fetch(url, "SELECT count(*) FROM results")[0][0])


Mirror = Callable[..., Any]
