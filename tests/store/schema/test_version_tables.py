"""Version tables that disagree, are dirty, or were changed by golang-migrate or newer programs."""

import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from orchboard.errors import SetupError
from orchboard.store.schema.migrate import fetch_schema_version, force_version, migrate_to
from orchboard.store.schema.migration_files import load_migrations
from orchboard.store.schema.version_tables import LAST_SHARED
from tests.support.migrations import LATEST, connector, dump_schema, run, sql, with_test_migration

ROOT = Path(__file__).parents[3]


def test_the_reference_version_table_never_exceeds_3(empty_database: str) -> None:
    async def version_tables() -> list[tuple[int, list[tuple[Any, ...]], Any]]:
        found = []
        for version in (*range(1, LATEST + 1), *range(LATEST - 1, -1, -1)):
            await migrate_to(connector(empty_database), version)
            ours = await sql(empty_database, "SELECT to_regclass('orchboard_migrations')::text")
            if ours != [(None,)]:
                ours = await sql(empty_database, "SELECT version, dirty FROM orchboard_migrations")
            found.append(
                (version, await sql(empty_database, "SELECT version, dirty FROM schema_migrations"), ours)
            )
        return found

    for version, reference, ours in run(version_tables()):
        assert reference == ([(min(version, LAST_SHARED), False)] if version else [])
        assert ours == ([(version, False)] if version > LAST_SHARED else [(None,)])


def test_a_dirty_reference_version_is_refused_until_forced(empty_database: str) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect, 2))
    run(sql(empty_database, "UPDATE schema_migrations SET version = 3, dirty = true"))
    with pytest.raises(SetupError, match=r"version 3 was begun and never finished.*force 3.*force 2"):
        run(migrate_to(connect))
    run(force_version(connect, 2))
    assert [step.version for step in run(migrate_to(connect))] == list(range(3, LATEST + 1))


def test_a_dirty_version_of_a_newer_program_is_reported_as_such(empty_database: str) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect))
    run(sql(empty_database, "UPDATE orchboard_migrations SET dirty = true"))
    with pytest.raises(SetupError, match=f"version {LATEST} was begun by a newer orchboard"):
        run(migrate_to(connect, migrations=load_migrations()[:-1]))


def test_a_newer_schema_is_left_alone_and_not_taken_down(empty_database: str) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect, migrations=with_test_migration("CREATE TABLE newer ()")))
    assert run(migrate_to(connect)) == ()
    with pytest.raises(SetupError, match=f"newer orchboard: the latest version here is {LATEST}"):
        run(migrate_to(connect, 0))


def test_a_newer_reference_server_is_no_reason_to_skip_ours(empty_database: str) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect, 3))
    run(sql(empty_database, "UPDATE schema_migrations SET version = 7"))
    assert [step.version for step in run(migrate_to(connect))] == list(range(4, LATEST + 1))
    assert run(sql(empty_database, "SELECT version FROM schema_migrations")) == [(7,)]
    with pytest.raises(SetupError, match="newer reference server"):
        run(migrate_to(connect, 2))
    assert run(fetch_schema_version(connect)).version == 3


def test_version_tables_that_disagree_are_refused(empty_database: str) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect))
    run(sql(empty_database, "UPDATE schema_migrations SET version = 1"))
    with pytest.raises(SetupError, match="version tables disagree"):
        run(migrate_to(connect))
    run(force_version(connect, LATEST))
    assert run(migrate_to(connect)) == ()


# What golang-migrate does for `down -all`: the reference has no way down from 3 and 2, so their numbers alone change;
# that from 1 is sent as one query, so that it is done whole or not at all.
REFERENCE_DOWN = """
DROP VIEW IF EXISTS pipelines; DROP VIEW IF EXISTS event_details;
DROP INDEX IF EXISTS idx_events_region_id; DROP INDEX IF EXISTS idx_events_orchestrator;
DROP TABLE IF EXISTS events; DROP TABLE IF EXISTS regions; DROP TABLE IF EXISTS job_types
"""


async def golang_migrate_down_all(url: str) -> bool:
    """Whether it came to its end."""
    table = "TRUNCATE schema_migrations; INSERT INTO schema_migrations VALUES ({}, {})"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(table.format(1, False))
        await connection.execute(table.format(-1, True))
        await connection.execute(REFERENCE_DOWN)
        await connection.execute("TRUNCATE schema_migrations")
    except asyncpg.DependentObjectsStillExistError:
        return False
    finally:
        await connection.close()
    return True


@pytest.mark.parametrize("version", range(6, LATEST + 1))
def test_force_repairs_a_schema_after_a_failed_down_of_golang_migrate(
    empty_database: str, version: int
) -> None:
    connect, migrations = connector(empty_database), load_migrations()[:version]
    run(migrate_to(connect, migrations=migrations))
    insert = "INSERT INTO events (orchestrator, region_id, payload) VALUES ('0x1', 1, '{}')"
    run(sql(empty_database, insert))
    dump = dump_schema(empty_database)
    assert not run(golang_migrate_down_all(empty_database))
    with pytest.raises(SetupError, match=rf"still there.*migrate force {version}`.*migrate goto 0"):
        run(migrate_to(connect, migrations=migrations))
    run(force_version(connect, version))
    assert dump_schema(empty_database) == dump
    assert run(migrate_to(connect, migrations=migrations)) == ()
    run(migrate_to(connect, 0, migrations=migrations))
    assert run(sql(empty_database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) == [(1,)]


def test_golang_migrate_can_go_down_after_goto_3(empty_database: str) -> None:
    run(migrate_to(connector(empty_database)))
    run(migrate_to(connector(empty_database), LAST_SHARED))
    assert run(golang_migrate_down_all(empty_database))
    assert len(run(migrate_to(connector(empty_database)))) == LATEST


def test_objects_left_by_golang_migrate_drop_are_in_the_documents(empty_database: str) -> None:
    run(migrate_to(connector(empty_database)))
    tables = run(sql(empty_database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
    run(sql(empty_database, *(f"DROP TABLE IF EXISTS {table} CASCADE" for (table,) in tables)))
    documented = re.search(r"`(DROP SEQUENCE .*?)`", (ROOT / "docs/migrations.md").read_text())
    assert documented
    run(sql(empty_database, *documented[1].strip(";").split(";")))
    assert len(run(migrate_to(connector(empty_database)))) == LATEST


@pytest.mark.parametrize("version", [4, 5])
def test_objects_left_by_golang_migrate_in_version_4_or_5_are_named(
    empty_database: str, version: int
) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect, version))
    assert run(golang_migrate_down_all(empty_database))
    with pytest.raises(SetupError, match=r"no table `events`.*DROP TABLE") as refused:
        run(migrate_to(connect))
    run(sql(empty_database, *str(refused.value).split("`")[-2].strip(";").split(";")))
    assert len(run(migrate_to(connect))) == LATEST


@pytest.mark.parametrize("version", [1, 2])
def test_force_repairs_a_version_that_golang_migrate_decremented(empty_database: str, version: int) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect))
    run(sql(empty_database, f"UPDATE schema_migrations SET version = {version}"))
    with pytest.raises(SetupError, match=rf"still there.*`orchboard migrate force {LATEST}`"):
        run(migrate_to(connect))
    run(force_version(connect, LATEST))
    assert run(migrate_to(connect)) == ()


@pytest.mark.parametrize(("dropped", "version"), [(False, 3), (True, 0)])
def test_force_repairs_an_interrupted_down_of_the_reference_server(
    empty_database: str, dropped: bool, version: int
) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect, LAST_SHARED))
    run(sql(empty_database, "UPDATE schema_migrations SET version = -1, dirty = true"))
    if dropped:
        run(sql(empty_database, *REFERENCE_DOWN.split(";")))
    with pytest.raises(
        SetupError, match=f"reverting version 1 was begun by golang-migrate.*migrate force {version}`"
    ):
        run(migrate_to(connect))
    run(force_version(connect, version))
    assert [step.version for step in run(migrate_to(connect))] == list(range(version + 1, LATEST + 1))


def test_a_foreign_events_table_is_not_touched(empty_database: str) -> None:
    run(sql(empty_database, "CREATE TABLE events (mine text)", "INSERT INTO events VALUES ('x')"))
    with pytest.raises(SetupError, match="`events`, but schema_migrations has no row"):
        run(migrate_to(connector(empty_database)))
    assert run(sql(empty_database, "SELECT mine FROM events")) == [("x",)]
