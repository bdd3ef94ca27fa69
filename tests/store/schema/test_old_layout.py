import asyncio
import json
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import asyncpg
import pytest

from orchboard.store.schema.migrate import migrate_to
from orchboard.store.schema.version_tables import LAST_SHARED

T = TypeVar("T")

TABLES = [
    "mdw", "fra", "sin", "nyc", "lax", "lon", "prg", "sao", "atl", "hnd", "mad",
    "mia", "mos2", "sto", "syd", "sea", "tor", "sjo", "ash", "hou", "atl2",
]  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
T0 = 1_700_000_000
AT_T0 = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
DETAILS = "SELECT region_name, job_type_name, event_time, orchestrator, payload::text FROM event_details"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, timeout=30))


async def old_table(connection: asyncpg.Connection, name: str, *stats: str | None) -> None:
    """An old region table holding these documents (JSON text; None is an SQL null)."""
    await connection.execute(f"CREATE TABLE {name} (id serial PRIMARY KEY, stats jsonb)")
    await connection.executemany(f"INSERT INTO {name} (stats) VALUES ($1)", [(each,) for each in stats])


async def take_over(url: str, tables: dict[str, list[str | None]]) -> list[tuple[Any, ...]]:
    """Everything that event_details shows after the takeover of these tables."""
    connection = await asyncpg.connect(url)
    try:
        for name, stats in tables.items():
            await old_table(connection, name, *stats)
        await migrate(url)
        return [tuple(row) for row in await connection.fetch(f"{DETAILS} ORDER BY id")]
    finally:
        await connection.close()


async def migrate(url: str, version: int | None = None) -> None:
    await migrate_to(lambda: asyncpg.connect(url, statement_cache_size=0), version)


def stats(**members: Any) -> str:
    return json.dumps({"orchestrator": "0xabc", "timestamp": T0, "success_rate": 1, **members})


def test_every_region_arrives_whole(empty_database: str) -> None:
    tables: dict[str, list[str | None]] = {
        name: [stats(timestamp=T0 + row, region=name.upper(), round_trip_time=0.5) for row in range(3)]
        for name in TABLES
    }
    moved = run(take_over(empty_database, tables))
    assert len(moved) == 3 * 21
    assert {row[0] for row in moved} == {name.upper() for name in TABLES}
    assert {row[1] for row in moved} == {"transcoding"}
    assert sorted(row[2].timestamp() for row in moved) == sorted([T0, T0 + 1, T0 + 2] * 21)
    assert [row[2] for row in moved] == sorted(row[2] for row in moved), "ids follow the time"
    wanted = sorted(
        json.dumps(json.loads(text or ""), sort_keys=True) for each in tables.values() for text in each
    )
    assert sorted(json.dumps(json.loads(row[4]), sort_keys=True) for row in moved) == wanted


def test_old_tables_stay_untouched(empty_database: str) -> None:
    async def both() -> tuple[Any, Any]:
        connection = await asyncpg.connect(empty_database)
        await old_table(connection, "fra", stats(), None, "3")
        before = await connection.fetch("SELECT *, xmin, ctid FROM fra")
        await migrate(empty_database)
        after = await connection.fetch("SELECT *, xmin, ctid FROM fra")
        await connection.close()
        return before, after

    before, after = run(both())
    assert before == after


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_times_do_not_depend_on_the_sessions_time_zone(empty_database: str, zone: str) -> None:
    async def with_zone() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(empty_database)
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f"ALTER DATABASE {name} SET timezone = '{zone}'")
        await connection.close()
        return await take_over(empty_database, {"fra": [stats()]})

    assert run(with_zone())[0][2] == AT_T0


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        (T0, AT_T0),
        (str(T0), AT_T0),
        (f" {T0} ", AT_T0),
        (1.7e9, AT_T0),
        ("1.7e9", AT_T0),
        (T0 + 0.5, AT_T0.replace(microsecond=500_000)),
        (0, EPOCH),
        (None, EPOCH),
        ("", EPOCH),
        ("yesterday", EPOCH),
        (True, EPOCH),
        ([T0], EPOCH),
        ({"seconds": T0}, EPOCH),
        (-5, EPOCH - timedelta(seconds=5)),
        ("-5", EPOCH - timedelta(seconds=5)),
        ("-2208988800", datetime(1900, 1, 1, tzinfo=UTC)),
        (4_133_980_800, datetime(2101, 1, 1, tzinfo=UTC)),
        ("4133980800", datetime(2101, 1, 1, tzinfo=UTC)),
        (253_370_764_800, datetime(9999, 1, 1, tzinfo=UTC)),
        (T0 * 1000, AT_T0),
        (str(T0 * 1000 + 500), AT_T0.replace(microsecond=500_000)),
        (10**300, EPOCH),
        (-(10**300), EPOCH),
        ("1e99", EPOCH),
        ("--5", EPOCH),
        ("5-", EPOCH),
        ("9" * 5000, EPOCH),
        ("1e9999999999", EPOCH),
        ("NaN", EPOCH),
        ("Infinity", EPOCH),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_timestamp_is_unix_seconds_or_counts_as_zero(
    empty_database: str, timestamp: object, expected: datetime
) -> None:
    [row] = run(take_over(empty_database, {"fra": [stats(timestamp=timestamp)]}))
    assert row[2] == expected


# Beyond Python's datetime, too: the first second that Postgres can hold, the last of twelve digits, and those next to them.
@pytest.mark.parametrize(
    ("timestamp", "held"),
    [
        (-210_866_803_200, True),
        (-210_866_803_201, False),
        (999_999_999_999, True),
        (10_000_000_000_000, False),
        (2**63, False),
    ],
)
def test_a_timestamp_is_converted_wherever_postgres_can_hold_the_time(
    empty_database: str, timestamp: int | str, held: bool
) -> None:
    async def seconds() -> int:
        connection = await asyncpg.connect(empty_database)
        try:
            await old_table(connection, "fra", stats(timestamp=timestamp))
            await migrate(empty_database, LAST_SHARED)
            return int(await connection.fetchval("SELECT round(extract(epoch FROM event_time)) FROM events"))
        finally:
            await connection.close()

    assert run(seconds()) == (int(timestamp) if held else 0)


@pytest.mark.parametrize(
    ("members", "job_type"),
    [
        ({}, "transcoding"),
        ({"model": None, "pipeline": None}, "transcoding"),
        ({"model": "m"}, "ai"),
        ({"pipeline": "p", "model": None}, "ai"),
        ({"pipeline": ""}, "ai"),
        ({"model": "m", "pipeline": "p"}, "ai"),
    ],
)
def test_a_model_or_a_pipeline_makes_it_ai(
    empty_database: str, members: dict[str, Any], job_type: str
) -> None:
    [row] = run(take_over(empty_database, {"fra": [stats(**members)]}))
    assert row[1] == job_type


@pytest.mark.parametrize(
    ("orchestrator", "expected"),
    [
        ("0xABCdef", "0xabcdef"),
        (None, ""),
        (5, "5"),
        ("0x" + "F" * 200, "0x" + "f" * 54),
        ("é" * 80, "é" * 56),
    ],
    ids=["mixed case", "null", "number", "over-long", "over-long in characters"],
)
def test_an_awkward_orchestrator_arrives_as_it_can_be_stored(
    empty_database: str, orchestrator: object, expected: str
) -> None:
    [row] = run(take_over(empty_database, {"fra": [stats(orchestrator=orchestrator)]}))
    assert row[3] == expected
    assert json.loads(row[4])["orchestrator"] == orchestrator


def test_rows_that_are_no_objects_arrive_in_one(empty_database: str) -> None:
    rows = [None, "null", "3", '"text"', "[1, 2]", "{}"]
    moved = run(take_over(empty_database, {"fra": list(rows)}))
    payloads = [json.loads(row[4]) for row in moved]
    expected = [{"stats": None}, {"stats": None}, {"stats": 3}, {"stats": "text"}, {"stats": [1, 2]}, {}]
    assert sorted(payloads, key=str) == sorted(expected, key=str)
    assert {row[:4] for row in moved} == {("FRA", "transcoding", EPOCH, "")}


def test_an_ai_result_registers_its_region_with_the_name_it_has(empty_database: str) -> None:
    async def regions() -> list[tuple[Any, ...]]:
        await take_over(empty_database, {"nyc": [stats(model="m", pipeline="p"), stats()]})
        connection = await asyncpg.connect(empty_database)
        query = "SELECT r.name, display_name, j.name FROM regions r JOIN job_types j ON j.id = job_type_id WHERE r.name = 'NYC' ORDER BY r.id"
        rows = [tuple(row) for row in await connection.fetch(query)]
        await connection.close()
        return rows

    assert run(regions()) == [("NYC", "New York City", "transcoding"), ("NYC", "New York City", "ai")]


def test_look_alikes_are_left_out(empty_database: str) -> None:
    async def with_look_alikes() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(empty_database)
        await connection.execute("CREATE SCHEMA other")
        await old_table(connection, "other.fra", stats(), stats())
        await old_table(connection, '"MDW"', stats())
        await old_table(connection, "par", stats())
        await connection.execute("CREATE TABLE sin (id serial, angle float)")
        await connection.execute("CREATE TABLE sea (id serial, stats text)")
        await connection.execute("CREATE VIEW tor AS SELECT 1 AS id, '{}'::jsonb AS stats")
        await connection.close()
        return await take_over(empty_database, {"lax": [stats()]})

    assert [row[0] for row in run(with_look_alikes())] == ["LAX"]


AWKWARD: dict[str, list[str | None]] = {
    "fra": [
        stats(),
        stats(),
        stats(model="m"),
        None,
        "null",
        "7",
        stats(timestamp="?"),
        stats(orchestrator="X" * 99),
    ],
    "nyc": [stats(), stats(model="m", pipeline="p")],
}


def test_up_down_up_gives_the_same_rows_and_keeps_what_came_since(empty_database: str) -> None:
    async def there_and_back() -> None:
        moved = await take_over(empty_database, AWKWARD)
        connection = await asyncpg.connect(empty_database)
        regions = await connection.fetch("SELECT name, job_type_id FROM regions ORDER BY 1, 2")
        assert len(moved) == sum(map(len, AWKWARD.values()))
        post = "INSERT INTO events (orchestrator, region_id, payload) VALUES ('0xabc', 1, $1)"
        await connection.execute(post, stats(posted=True))
        await connection.execute(post, stats())  # to the letter like an old one

        await migrate(empty_database, 2)
        kept = await connection.fetch(
            "SELECT payload::text, event_time > '2024-01-01' FROM events ORDER BY id"
        )
        assert [(json.loads(text), since) for text, since in kept] == [
            (json.loads(stats(posted=True)), True),
            (json.loads(stats()), True),
        ]
        assert await connection.fetchval("SELECT count(*) FROM regions") == 26

        await migrate(empty_database)
        again = [
            tuple(row)
            for row in await connection.fetch(f"{DETAILS} WHERE event_time < '2024-01-01' ORDER BY id")
        ]
        assert sorted(again) == sorted(moved)
        assert await connection.fetch("SELECT name, job_type_id FROM regions ORDER BY 1, 2") == regions
        await connection.close()

    run(there_and_back())


def test_rows_that_the_reference_server_moved_are_taken_back_too(empty_database: str) -> None:
    async def taken_back() -> int:
        await migrate(empty_database, 2)
        connection = await asyncpg.connect(empty_database)
        await old_table(connection, "nyc", stats(), stats(model="m"), stats(orchestrator="0xABC"))
        # As it does: the session's clock shifts the time, the case stays, an unknown region is null.
        await connection.execute(
            "INSERT INTO events (event_time, orchestrator, region_id, payload) "
            "SELECT now() - interval '5 hours', stats ->> 'orchestrator', NULL, stats FROM nyc"
        )
        await connection.execute("UPDATE schema_migrations SET version = 3")
        await migrate(empty_database)
        await migrate(empty_database, 2)
        left = await connection.fetchval("SELECT count(*) FROM events")
        await connection.close()
        return int(left)

    assert run(taken_back()) == 0
