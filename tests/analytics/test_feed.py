"""The news of real results: an event stays as it is while the results do."""

import random
from datetime import datetime, timedelta

import pytest

from orchboard.analytics.events import Event, Kind
from orchboard.analytics.feed import find_news
from orchboard.leaderboard import Leaderboard
from orchboard.store.postgres.clock import to_pg_time
from orchboard.store.store import Store
from tests.support.database import run
from tests.support.details_database import INSERT, DetailsDatabase, open_details_database

pytestmark = pytest.mark.timeout(600)  # builds rollups, on machines that do other things too

HOUR = timedelta(hours=1)
SHOWN, STEP = timedelta(days=7), timedelta(hours=61)
ORCHESTRATORS = [f"0x{number:040x}" for number in range(6)]


def random_results(seed: int, end: datetime) -> list[tuple[datetime, str, str, float]]:
    """Four weeks of results in two regions: tested often or rarely, with pauses, outages and recoveries."""
    chance = random.Random(seed)
    found = []
    for orchestrator in ORCHESTRATORS:
        tests_an_hour = chance.choice([0.03, 0.1, 0.3, 0.8])
        works = is_tested = True
        for hour in range(4 * 7 * 24):
            works ^= chance.random() < (0.02 if works else 0.1)
            is_tested ^= chance.random() < (0.003 if is_tested else 0.01)
            for region in ("FRA", "MDW"):
                if is_tested and chance.random() < tests_an_hour:
                    moment = end - (hour + chance.random()) * HOUR
                    found.append((moment, orchestrator, region, float(works and chance.random() < 0.95)))
    return sorted(found)


async def insert_results(database: DetailsDatabase, end: datetime) -> None:
    rows = random_results(7, end)
    found = await database.connection.fetch(
        "SELECT r.name, r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id WHERE j.name = 'transcoding'"
    )
    regions: dict[str, int] = {row["name"]: row["id"] for row in found}
    await database.connection.execute(
        INSERT,
        [moment for moment, *_ in rows],
        [orchestrator for _, orchestrator, *_ in rows],
        [regions[region] for _, _, region, _ in rows],
        [None for _ in rows],
        [f'{{"success_rate": {rate}, "round_trip_time": 1, "seg_duration": 2}}' for *_, rate in rows],
    )


def between(events: list[Event], since: datetime, until: datetime) -> list[Event]:
    """The events of hours in [since, until)."""
    return [event for event in events if to_pg_time(since) < event.noted <= to_pg_time(until)]


async def news(store: Store, now: datetime, orchestrator: str | None = None) -> list[Event]:
    board = Leaderboard(store, default_window=timedelta(days=1), pipelines_cache_s=60, now=lambda: now)
    return await find_news(board, orchestrator)


def test_an_event_does_not_change_while_the_results_do_not(database_url: str) -> None:
    async def compare() -> None:
        async with open_details_database(database_url, results=0) as database:
            end = (await database.now()).replace(minute=0, second=0, microsecond=0)
            await insert_results(database, end)
            seen: set[Event] = set()
            earlier = await news(database.store, end - 3 * STEP)
            for steps in range(2, -1, -1):
                now = end - steps * STEP
                later = await news(database.store, now)
                both = now - SHOWN, now - STEP
                assert between(later, *both) == between(earlier, *both)
                earlier = later
                seen.update(later)
            assert {event.kind for event in seen} >= {Kind.DOWN, Kind.UP}
            assert len(seen) > 10
            of_one = [event for event in earlier if event.orchestrator == ORCHESTRATORS[0]]
            assert await news(database.store, end, ORCHESTRATORS[0]) == of_one

    run(compare())
