"""Migrations run once, in order, up and down, and leave the documented schema."""

import csv

import asyncpg
import pytest

from orchboard.errors import SetupError
from orchboard.store.schema.migrate import fetch_schema_version, force_version, migrate_to
from orchboard.store.schema.migration_files import load_migrations
from orchboard.store.schema.version_tables import LAST_SHARED, SchemaVersion
from tests.support.migrations import LATEST, PACKAGE, connector, dump_schema, run, sql, with_test_migration


def test_an_empty_database_gets_every_version_in_order(empty_database: str) -> None:
    seen: list[int] = []
    steps = run(migrate_to(connector(empty_database), on_step=lambda step: seen.append(step.version)))
    assert [(step.version, step.direction) for step in steps] == [(n, "up") for n in range(1, LATEST + 1)]
    assert seen == [step.version for step in steps]
    assert all(step.duration_s > 0 for step in steps)
    assert run(fetch_schema_version(connector(empty_database))) == SchemaVersion(LATEST, False)
    assert run(migrate_to(connector(empty_database))) == ()


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


def test_up_down_up_leaves_the_same_schema_and_seed_at_every_version(empty_database: str) -> None:
    def dump_at(version: int) -> str:
        run(migrate_to(connector(empty_database), version))
        return dump_schema(empty_database)

    going_up = {version: dump_at(version) for version in range(LATEST + 1)}
    brings_nothing = 2  # 3 moves, and 12 removes, what a new database does not have
    assert len(set(going_up.values())) == LATEST + 1 - brings_nothing
    for version in range(LATEST - 1, -1, -1):
        assert dump_at(version) == going_up[version]
    assert dump_at(LATEST) == going_up[LATEST]


def test_reverting_the_seed_keeps_regions_with_results(empty_database: str) -> None:
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


def test_time_limits_meant_for_requests_end_no_version(empty_database: str) -> None:
    [(name,)] = run(sql(empty_database, "SELECT current_database()"))
    for limit in ("idle_in_transaction_session_timeout", "statement_timeout"):
        run(sql(empty_database, f"ALTER DATABASE {name} SET {limit} = '250ms'"))
    steps = run(migrate_to(connector(empty_database), migrations=with_test_migration("SELECT pg_sleep(0.6)")))
    assert len(steps) == LATEST + 1


def test_a_version_that_fails_is_undone_and_named(empty_database: str) -> None:
    broken = with_test_migration("CREATE TABLE half (); SELECT 1 / 0")
    with pytest.raises(
        SetupError, match=rf"{LATEST + 1} test_{LATEST + 1} \(up\).*rolled back.*division by zero"
    ):
        run(migrate_to(connector(empty_database), migrations=broken))
    assert run(sql(empty_database, "SELECT to_regclass('half')")) == [(None,)]
    assert run(fetch_schema_version(connector(empty_database))) == SchemaVersion(LATEST, False)


def test_a_version_without_transaction_that_fails_is_dirty_until_forced(empty_database: str) -> None:
    connect = connector(empty_database)
    broken = with_test_migration("CREATE TABLE half ();\nSELECT 1 / 0;\n", transactional=False)
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


def test_the_search_path_selects_the_schema(empty_database: str) -> None:
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
