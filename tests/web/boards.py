"""Boards of results for tests of pages: one whose rows differ in everything that can be chosen, and big ones."""

import random
from datetime import UTC, datetime, timedelta

from orchboard.stats import JobType
from tests.support.random_results import PlainResult

ORCHESTRATORS = tuple(f"0x{number:02x}{'ab' * 19}" for number in range(12))

NAMED = {ORCHESTRATORS[1]: "Blue Harbour", ORCHESTRATORS[4]: "Harbour & Söhne"}

MODELS = (("llm", "a"), ("llm", "b/c"), ("text to image", "a"), ("text to image", "d"))

# Far from the ends of the windows 1h, 24h and 7d: a row does not leave a window between two requests.
AGES = (timedelta(minutes=20), timedelta(hours=5), timedelta(hours=30), timedelta(days=20))

# The regions that exist for transcoding, and for AI.
REGIONS = {JobType.TRANSCODING: ("FRA", "LAX", "LON"), JobType.AI: ("FRA", "LAX")}

NAME_ORCHESTRATORS = (
    "INSERT INTO orchestrator_names (orchestrator, name, source, updated_at) VALUES "
    + ", ".join(f"('{orchestrator}', '{name}', 'operator', now())" for orchestrator, name in NAMED.items())
)


def varied_results() -> list[PlainResult]:
    """Results of ORCHESTRATORS with both job types, in several regions and of several ages, some unscored or with errors."""
    chance, now = random.Random(11), datetime.now(UTC)

    def result(orchestrator: str, job_type: JobType, region: str, age: timedelta) -> PlainResult:
        pipeline, model = chance.choice(MODELS) if job_type is JobType.AI else ("", "")
        return PlainResult(
            now - age - timedelta(seconds=chance.randrange(60)), orchestrator, region, job_type, pipeline, model,
            chance.choice(["", "ams-1"]), chance.random() < 0.85, chance.choice([1.0, 1.0, 1.0, 0.5, 0.0]),
            2.0, round(chance.uniform(0.4, 6.0), 3), chance.choice([(), (), ("TIMEOUT",), ("TIMEOUT", "EOF")]),
        )  # fmt: skip

    return sorted(
        result(orchestrator, job_type, region, age)
        for number, orchestrator in enumerate(ORCHESTRATORS)
        for job_type in JobType
        for region in REGIONS[job_type]
        for age in AGES
        for _ in range(1 + number % 4)
        if chance.random() < 0.7
    )


_INSERT = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT now() - n % 1380 * interval '1 minute' - interval '2 minutes', '0x' || lpad(to_hex(o), 40, '0'), r.id,
    jsonb_build_object('success_rate', (n % 17 <> 0)::int, 'round_trip_time', 0.5 + n % 1000 * 7919 % 1000 / 250.0, 'seg_duration', 2)
    || CASE WHEN n % 17 = 0 THEN '{"errors": [{"error_code": "TIMEOUT", "count": 1}]}'::jsonb ELSE '{}' END || payload
"""


def wide_board(*, orchestrators: int = 100, regions: int = 24, models: int = 12) -> tuple[str, ...]:
    """SQL that fills an empty board: in each of some new regions a transcoding result of each orchestrator, and a result of
    each model, in four pipelines. The orchestrators are those of `address`."""
    return (
        f"""
        INSERT INTO regions (name, display_name, job_type_id)
        SELECT 'R' || n, 'Region of the city ' || n, id FROM job_types, generate_series(1, {regions}) n
        """,
        f"""
        {_INSERT}
        FROM generate_series(1, {orchestrators}) o, regions r JOIN job_types j ON j.id = r.job_type_id,
        LATERAL (SELECT o * 31 + r.id * 13 AS n, '{{}}'::jsonb AS payload) numbers
        WHERE r.name LIKE 'R%' AND j.name = 'transcoding'
        """,
        f"""
        {_INSERT}
        FROM generate_series(1, {orchestrators}) o, generate_series(1, {models}) m,
        regions r JOIN job_types j ON j.id = r.job_type_id, LATERAL (SELECT o * 31 + r.id * 13 + m * 7 AS n, jsonb_build_object(
            'pipeline', 'pipeline-' || m % 4, 'model', 'vendor/model-of-some-length-' || m) AS payload) numbers
        WHERE r.name LIKE 'R%' AND j.name = 'ai'
        """,
        "ANALYZE events",
    )


def long_board(*, orchestrators: int = 10_000, regions: int = 4) -> tuple[str, ...]:
    """SQL that fills an empty board: a transcoding result of each orchestrator in each of some regions."""
    return (
        f"""
        {_INSERT}
        FROM generate_series(1, {orchestrators}) o,
        (SELECT r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id
        WHERE r.name <> 'GLOBAL' AND j.name = 'transcoding' ORDER BY r.id LIMIT {regions}) r,
        LATERAL (SELECT o * 31 + r.id * 13 AS n, '{{}}'::jsonb AS payload) numbers
        """,
        "ANALYZE events",
    )


def address(number: int) -> str:
    """An orchestrator of `wide_board` and `long_board`, by its number from 1."""
    return f"0x{number:040x}"
