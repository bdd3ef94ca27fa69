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
