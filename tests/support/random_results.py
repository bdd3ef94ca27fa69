"""Random results, written to a database and kept as plain values for an oracle."""

import json
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg

from orchboard.stats import JobType

ORCHESTRATORS = tuple(f"0x{number:040x}" for number in range(3))
TESTERS = ("", "ams-1", "ber-2")
_REGIONS = ("FRA", "LAX")

INSERT_TESTER = """
INSERT INTO testers (name) SELECT $1 WHERE NOT EXISTS (SELECT FROM testers WHERE name = $1)
"""
INSERT_RESULT = """
INSERT INTO events (event_time, orchestrator, region_id, payload, tester_id)
SELECT $1, $2, r.id, $5, (SELECT t.id FROM testers t WHERE t.name = $6)
FROM regions r JOIN job_types j ON j.id = r.job_type_id WHERE r.name = $3 AND j.name = $4
"""


class PlainResult(NamedTuple):
    """One result as its tester measured it. errors -- codes"""

    event_time: datetime
    orchestrator: str
    region: str
    job_type: JobType
    pipeline: str
    model: str
    tester: str
    is_scored: bool
    success_rate: float
    seg_duration: float
    round_trip_time: float
    errors: tuple[str, ...] = ()

    @property
    def has_round_trip(self) -> bool:
        """Whether its round trip counts for quantiles."""
        return self.is_scored and self.success_rate == 1 and self.round_trip_time != 0


def random_results(chance: random.Random, number: int, since: datetime, until: datetime) -> list[PlainResult]:
    """Results of both job types in [since, until), sorted by receipt."""
    found = []
    for _ in range(number):
        job_type = chance.choice(list(JobType))
        is_ai = job_type is JobType.AI
        found.append(
            PlainResult(
                since
                + timedelta(microseconds=chance.randrange((until - since) // timedelta(microseconds=1))),
                chance.choice(ORCHESTRATORS),
                chance.choice(_REGIONS),
                job_type,
                chance.choice(["Text to image", "llm"]) if is_ai else "",
                chance.choice(["a", "b/c"]) if is_ai else "",
                chance.choice(TESTERS),
                chance.random() < 0.9,
                1.0 if chance.random() < 0.7 else chance.choice([0.0, round(chance.random(), 2)]),
                0.0 if is_ai or chance.random() < 0.1 else 2.0,
                0.0 if chance.random() < 0.05 else chance.expovariate(0.5),
            )
        )
    return sorted(found)


async def write_results(url: str, results: Sequence[PlainResult]) -> None:
    """Write results as another program would, and the testers that they name."""
    connection = await asyncpg.connect(url)
    try:
        for name in sorted({each.tester for each in results} - {""}):
            await connection.execute(INSERT_TESTER, name)
        await connection.executemany(
            INSERT_RESULT,
            [
                (each.event_time, each.orchestrator, each.region, each.job_type, _payload(each), each.tester)
                for each in results
            ],
        )
    finally:
        await connection.close()


def _payload(result: PlainResult) -> str:
    members = {
        "success_rate": result.success_rate,
        "seg_duration": result.seg_duration,
        "round_trip_time": result.round_trip_time,
    }
    names = {"pipeline": result.pipeline, "model": result.model} if result.pipeline else {}
    outcome = {} if result.is_scored else {"test_outcome": "unscored_busy"}
    errors = {"errors": [{"error_code": code, "count": 1} for code in result.errors]} if result.errors else {}
    return json.dumps(members | names | outcome | errors)
