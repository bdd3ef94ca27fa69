"""A database whose leaderboard is in a schema that the URL does not lead to."""

import re
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import asyncpg
import pytest
from structlog.testing import capture_logs

from orchboard.errors import SetupError
from orchboard.store.postgres.database import Database
from orchboard.store.schema.migrate import fetch_schema_version, migrate_to
from orchboard.store.schema.migration_files import load_migrations
from tests.support.database import run

LATEST = len(load_migrations())
INSERT = "INSERT INTO {}.events (orchestrator, region_id, payload) VALUES ('0x1', 1, '{{}}')"


def connector(url: str) -> Callable[[], Awaitable[asyncpg.Connection]]:
    return lambda: asyncpg.connect(url, statement_cache_size=0)


def execute(url: str, *statements: str) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    run(work())


def migrate(url: str, version: int | None = None) -> int:
    return len(run(migrate_to(connector(url), version)))


def led_to(url: str, schema: str) -> str:
    return f"{url}&options={quote('-csearch_path=' + schema)}"


@pytest.mark.parametrize("schema", ["board", '"My board"', '"a"" b"'])
@pytest.mark.parametrize("version", [3, 6, LATEST])
def test_no_second_leaderboard_is_created_beside_one_in_another_schema(
    empty_database: str, schema: str, version: int
) -> None:
    execute(empty_database, f"CREATE SCHEMA {schema}")
    migrate_in(empty_database, schema, 3)
    execute(empty_database, INSERT.format(schema))
    migrate_in(empty_database, schema, version)
    with pytest.raises(
        SetupError, match="the schema public.*is empty, but the schema .* has a leaderboard with results"
    ) as refused:
        migrate(empty_database)
    assert run(fetch_schema_version(connector(empty_database))).version == 0
    # What it says to add leads there.
    option = re.search(r"`(options=\S+?)`", str(refused.value))
    assert option and schema in str(refused.value)
    there = f"{empty_database}&{option[1]}"
    assert run(fetch_schema_version(connector(there))).version == version
    assert migrate(there) == LATEST - version
    # Named, this one is meant.
    assert migrate(led_to(empty_database, "public")) == LATEST


def migrate_in(url: str, schema: str, version: int) -> int:
    """In a schema that the database leads to, as long as that takes."""
    name = url.partition("@/")[2].partition("?")[0]
    execute(url, f'ALTER DATABASE "{name}" SET search_path = {schema}')
    try:
        return migrate(url, version)
    finally:
        execute(url, f'ALTER DATABASE "{name}" RESET search_path')


def test_a_schema_that_was_chosen_is_not_questioned(empty_database: str) -> None:
    migrate_in(empty_database, "public", LATEST)
    execute(empty_database, INSERT.format("public"), "CREATE SCHEMA board")
    assert migrate(led_to(empty_database, "board")) == LATEST
    assert migrate_in(empty_database, "board", 0) == LATEST


@pytest.mark.parametrize(
    "made",
    [
        ["CREATE SCHEMA other"],
        [
            "CREATE SCHEMA other",
            "CREATE TABLE other.events (mine text)",
            "INSERT INTO other.events VALUES ('x')",
        ],
    ],
)
def test_a_schema_without_the_tables_of_a_leaderboard_is_ignored(
    empty_database: str, made: list[str]
) -> None:
    execute(empty_database, *made)
    assert migrate(empty_database) == LATEST


def test_an_empty_leaderboard_in_another_schema_is_ignored(empty_database: str) -> None:
    execute(empty_database, "CREATE SCHEMA board")
    migrate_in(empty_database, "board", LATEST)
    assert migrate(empty_database) == LATEST


def test_a_start_in_an_empty_schema_names_another_one_that_holds_results(empty_database: str) -> None:
    execute(empty_database, "CREATE SCHEMA board")
    migrate(empty_database)
    migrate_in(empty_database, "board", LATEST)
    execute(empty_database, INSERT.format("board"))

    async def start() -> None:
        database = Database(empty_database, connections=1, timeout_s=20)
        await database.open()
        await database.describe()
        await database.close()

    with capture_logs() as logged:
        run(start())
    [warning] = logged
    assert (warning["schema"], warning["other"]) == ("public", "board")
    assert "options=-csearch_path%3Dboard" in warning["event"]
