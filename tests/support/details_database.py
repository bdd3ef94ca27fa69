"""A database with hostile random results, and comparisons of its details with the oracle."""

import json
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from orchboard.stats import JobType, SeriesQuery, Window
from orchboard.store.connection.types import Connection
from orchboard.store.details.builder import DetailBuilder
from orchboard.store.details.details import Needs
from orchboard.store.details.ranked_reader import FRACTIONS
from orchboard.store.rollups.buckets import GRANULARITIES
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.store import Store
from orchboard.window import LATEST
from tests.support.database import run
from tests.support.details_oracle import (
    StoredResult,
    assert_details_match,
    fetch_stored,
    medians,
    quantile,
    select,
)
from tests.support.store_writes import open_store

PLACES = """
INSERT INTO job_types (name) VALUES ('live');
INSERT INTO regions (name, display_name, job_type_id)
SELECT 'AAA', 'a', id FROM job_types WHERE name = 'live' UNION ALL SELECT 'BBB', 'b', NULL;
INSERT INTO testers (name, key, revoked_at) VALUES
('alpha', NULL, now()), ('alpha', 'k1', NULL), ('<b>&"t''\x1b[31m', 'k2', NULL), ('=cmd|x!A1', 'k3', NULL);
"""
INSERT = """
INSERT INTO events (event_time, orchestrator, region_id, tester_id, payload)
SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::integer[], $4::integer[], $5::text[]::jsonb[])
"""
ORCHESTRATORS = (
    "0xaa", "0xAA", "0xBb", "0xbb", "", "<script>alert(1)</script>", "=1+1", "'; DROP TABLE events; --",
    "\u202e0xcc\u2066", "\x1b[31m0xdd\t\n", "\u00c9\u00e9", "x" * 56, "\U0001f600", "\\x00", "a\x1fb",
)  # fmt: skip
NAMES = (
    "p",
    "p",
    "P",
    "p ",
    "",
    None,
    5,
    True,
    ["p"],
    {"a": 1.50},
    "x" * 256,
    "x" * 300,
    '<svg onload="a">',
    "\x1f",
    "\n",
)
CODES = (
    "TIMEOUT",
    "TIMEOUT",
    "HTTP-STATUS-503",
    "",
    None,
    5,
    1e5,
    {"b": [None, True, "\x01\u00e9"]},
    "y" * 64,
    "y" * 80,
    "\u202e<x>",
)
MESSAGES: tuple[Any, ...] = (
    "slow",
    "",
    None,
    "z" * 250,
    0.5,
    [],
    "<b>&amp;\"'",
    "=SUM(A1)",
    "\x1b]0;title\x07",
    "\u2028\U0001f600",
)
COUNTS = (
    1,
    1,
    2,
    0,
    -3,
    7.9,
    10**12,
    1e300,
    "7",
    " 3.9 ",
    "-2",
    "x",
    "[4]",
    None,
    True,
    [1],
    2**70,
    -(2**70),
)
NUMBERS = (
    0,
    0.5,
    1,
    1.5,
    -1,
    1e100,
    -1e100,
    1e-300,
    1e308,
    "1",
    " 1 ",
    "NaN",
    "-Infinity",
    "",
    None,
    True,
    [1],
    {"a": 1},
)


class DetailsDatabase:
    """A database with results, and a store as of a server process."""

    def __init__(self, url: str, store: Store, connection: Connection, seed: int) -> None:
        self.url = url
        self.store = store
        self.connection = connection
        self.chance = random.Random(seed)

    async def materialize(self, *, details: int | None = None) -> int:
        """Build the rollups, then the details of all or of a number of buckets; the number of buckets of the rollups."""
        buckets = await RollupBuilder(self.connection).run()
        await DetailBuilder(self.connection).run(limit=details)
        return buckets

    async def now(self) -> datetime:
        moment: datetime = await self.connection.fetchval("SELECT clock_timestamp()")
        return moment

    async def insert(self, times: Sequence[datetime]) -> None:
        """Insert a random result for each time, as another program would."""
        regions = [
            row[0]
            for row in await self.connection.fetch("SELECT id FROM regions WHERE name IN ('FRA', 'MDW')")
        ]
        others = [row[0] for row in await self.connection.fetch("SELECT id FROM regions")]
        testers = [row[0] for row in await self.connection.fetch("SELECT id FROM testers ORDER BY id")]
        chance = self.chance
        await self.connection.execute(
            INSERT,
            times,
            [chance.choice(ORCHESTRATORS) for _ in times],
            [chance.choice([*regions * 8, *others, None]) for _ in times],
            [chance.choice([None, None, *testers, 9999]) for _ in times],
            [json.dumps(random_payload(chance)) for _ in times],
        )

    async def compare(self, windows: int = 8) -> None:
        """Compare all time, and random windows, filters and buckets, with the oracle."""
        now, results = await self.now(), await fetch_stored(self.connection)
        everything = [now - timedelta(days=99), now + timedelta(days=1)]
        assert await self._compare(SeriesQuery(), everything, results) == [len(results)]
        for _ in range(windows):
            edges = random_edges(self.chance, now)
            await self._compare(random_query(self.chance, results), edges, results)

    async def compare_last(self, length: timedelta) -> None:
        """Compare the newest results, in a window with an end and in one without."""
        now, results = await self.now(), await fetch_stored(self.connection)
        await self._compare(SeriesQuery(), [now - length, now], results)
        details = await self.store.details.fetch(SeriesQuery(), Window(now - length, LATEST))
        assert_details_match(details, results, SeriesQuery(), now - length, now + timedelta(minutes=5))

    async def _compare(
        self, query: SeriesQuery, edges: Sequence[datetime], results: Sequence[StoredResult]
    ) -> list[int]:
        """Compare each bucket, and the whole as a window; the number of results of each bucket."""
        buckets = await self.store.details.fetch_buckets(query, edges)
        numbers = [
            assert_details_match(details, results, query, since, until)
            for details, (since, until) in zip(buckets, pairwise(edges), strict=True)
        ]
        microsecond = timedelta(microseconds=1)
        whole = await self.store.details.fetch(query, Window(edges[0], edges[-1] - microsecond))
        assert assert_details_match(whole, results, query, edges[0], edges[-1]) == sum(numbers)
        await self._compare_quantiles(query, Window(edges[0], edges[-1] - microsecond), results)
        return numbers

    async def _compare_quantiles(
        self, query: SeriesQuery, window: Window, results: Sequence[StoredResult]
    ) -> None:
        """Compare the quantiles of orchestrators and models that are read without holding all round trips."""
        until = window.until + timedelta(microseconds=1)
        slim = await self.store.details.fetch(query, window, Needs(medians=True))
        assert not len(slim.sums.round_trips) and not slim.sums.errors
        if query.job_type is not JobType.TRANSCODING:
            assert slim.medians == medians(results, query.region, window.since, until)
        names = {result.series.orchestrator: 1 for result in results}
        found = await self.store.details.fetch_quantiles(query, window, names)
        chosen = select(results, replace(query, orchestrators=None), window.since, until)
        for name in names:
            own = [
                each.round_trip
                for each in chosen
                if each.series.orchestrator == name and each.round_trip is not None
            ]
            expected = [quantile(own, fraction) for fraction in FRACTIONS] if own else [math.nan] * 3
            assert found[name] == pytest.approx(expected, rel=0, abs=0, nan_ok=True)


def random_payload(chance: random.Random) -> Any:
    """A result as a tester posts it, or what another program might have written."""
    if chance.random() < 0.02:
        return chance.choice([[1, 2], 5, None, "text", {}, {"errors": {"error_code": "x"}}])
    members: dict[str, Any] = {
        "success_rate": chance.choice([1, 1, 1, 1, 0, 0.5, round(chance.random(), 2)]),
        "round_trip_time": chance.choice([chance.expovariate(0.2), 1000 + chance.random() / 1e3, 2.5]),
        "seg_duration": chance.choice([2, 2, chance.random()]),
        "pipeline": chance.choice(NAMES),
        "model": chance.choice(NAMES),
        "model_is_warm": chance.choice([True, True, False, None, "true", 1]),
        "test_outcome": chance.choice(
            ["scored", "scored", "unscored_timeout", "unscored", None, 1, " unscored"]
        ),
        "errors": random_errors(chance),
    }
    for name in ("success_rate", "round_trip_time", "seg_duration"):
        if chance.random() < 0.03:
            members[name] = chance.choice(NUMBERS)
    return {name: value for name, value in members.items() if chance.random() < 0.96}


def random_errors(chance: random.Random) -> Any:
    if chance.random() < 0.5:
        return chance.choice([[], [], None, {}, "text", 5, [[]], [None, 5, "x"]])
    length = chance.choice([1, 1, 2, 3, 25])
    errors: list[Any] = [
        {
            "error_code": chance.choice(CODES),
            "message": chance.choice(MESSAGES),
            "count": chance.choice(COUNTS),
        }
        for _ in range(length)
    ]
    for error in errors:
        if chance.random() < 0.2:
            del error[chance.choice(list(error))]
    if chance.random() < 0.2:
        errors.insert(chance.randrange(length), chance.choice([None, 5, "x", [1]]))
    return errors


ISLANDS = (0.0, 0.0, 1.3, 6.5, 33.0)
"""Ages in days: with so few times with results, and gaps that no empty buckets fill, all rollups are built in a second or two."""


def random_times(
    chance: random.Random, now: datetime, number: int, *, is_spread: bool = False
) -> list[datetime]:
    """Times of the last 45 days, many on an edge of a bucket or a microsecond from it.

    is_spread -- anywhere, most of them recent; False: within two hours before each of ISLANDS
    """
    times = []
    for _ in range(number):
        age_days = 45 * chance.random() ** 3 if is_spread else chance.choice(ISLANDS) + chance.random() / 12
        moment = now - timedelta(days=age_days)
        if chance.random() < 0.2:
            edge = chance.choice(GRANULARITIES).start_of(moment)
            moment = edge + timedelta(microseconds=chance.choice([-1, 0, 0, 1]))
        times.append(moment)
    return times


def random_edges(chance: random.Random, now: datetime) -> list[datetime]:
    """Edges of one bucket, of several of equal length, or anywhere; they end after some of ISLANDS, or anywhere."""
    days = 10 ** chance.uniform(-2, 1.65)
    ended = chance.choice([0, 0, chance.choice(ISLANDS), chance.uniform(0, 46 - days)])
    since = now - timedelta(days=days + ended)
    if chance.random() < 0.5:
        since = chance.choice(GRANULARITIES).start_of(since)
    number = chance.choice([1, 1, 3, 12])
    if chance.random() < 0.3:
        steps = sorted(chance.uniform(0, days) for _ in range(number))
        return [since, *(since + timedelta(days=step + 1e-9 * at) for at, step in enumerate(steps, 1))]
    step = timedelta(days=days) / number
    if chance.random() < 0.5:
        step = max(timedelta(hours=1), step // timedelta(hours=1) * timedelta(hours=1))
    return [since + step * at for at in range(number + 1)]


def random_query(chance: random.Random, results: Sequence[StoredResult]) -> SeriesQuery:
    """A filter by each member or by none, that usually selects something."""
    series = chance.choice(results).series
    others = {chance.choice(results).series.orchestrator for _ in range(chance.choice([0, 2]))}
    choices: dict[str, Any] = {
        "job_type": chance.choice([series.job_type, JobType.AI]),
        "orchestrators": chance.choice(
            [frozenset({series.orchestrator, *others}), frozenset({"none"}), frozenset()]
        ),
        "region": series.region,
        "pipeline": chance.choice([series.pipeline, "p", ""]),
        "model": series.model,
        "tester": chance.choice([series.tester, "", "alpha"]),
    }
    return SeriesQuery(**{name: value for name, value in choices.items() if chance.random() < 0.3})


@asynccontextmanager
async def open_details_database(
    url: str, *, results: int, seed: int = 1, is_spread: bool = False
) -> AsyncIterator[DetailsDatabase]:
    """results -- the number that is inserted; 0: the database is used as it is; is_spread -- see `random_times`"""
    connection = await asyncpg.connect(url)
    try:
        async with open_store(url) as store:
            board = DetailsDatabase(url, store, connection, seed)
            if results:
                await connection.execute(PLACES)
                times = random_times(board.chance, await board.now(), results, is_spread=is_spread)
                await board.insert(times)
            yield board
    finally:
        connection.terminate()


def with_details_database(
    url: str,
    test: Callable[[DetailsDatabase], Awaitable[None]],
    *,
    results: int = 500,
    seed: int = 1,
    is_spread: bool = False,
) -> None:
    async def run_test() -> None:
        async with open_details_database(url, results=results, seed=seed, is_spread=is_spread) as board:
            await test(board)

    run(run_test())


def with_materialized_details(url: str, test: Callable[[DetailsDatabase], Awaitable[None]]) -> None:
    """Run a test on a clone of what `prepare_details` has prepared."""

    async def build_and_test(board: DetailsDatabase) -> None:
        await board.materialize()  # what has ended since
        await test(board)

    with_details_database(url, build_and_test, results=0)


async def prepare_details(url: str) -> None:
    """A database with results, all materialized with their details."""
    async with open_details_database(url, results=500) as board:
        await board.materialize()
