"""A database that is there and refuses to be read or written: each reason has words of its own, and they are true."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from orchboard.store.connection.failures import NO_PRIVILEGE, READ_ONLY, SCHEMA_DIFFERS
from orchboard.store.legacy_import.backfill import backfill
from orchboard.store.postgres.database import Database
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.sql_files import sql
from tests.cli.conftest import *  # noqa: F403 - its fixtures
from tests.support.database import run
from tests.support.plain_role import execute, lacked, plain, role_of
from tests.support.program import Orchboard
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, StartServer
from tests.support.waiting import wait_until

__all__ = ["plain"]

PATHS = (
    "/api/aggregated_stats?since=1", "/api/aggregated_stats?job_type=ai&since=2", "/api/pipelines?since=1",
    f"/api/raw_stats?orchestrator={ORCHESTRATOR}&since=1", "/api/regions", "/api/top_ai_score",
)  # fmt: skip


def grant_all(database_url: str, plain: str) -> list[str]:
    """Grant what is said to be lacking, as it is said; what that was."""
    privileges = lacked(plain)
    execute(database_url, *(f"GRANT {each} TO {role_of(plain)}" for each in privileges))
    assert lacked(plain) == []
    return privileges


def serve(start_server: StartServer, settings: Settings, url: str, **options: object) -> Client:
    return Client(start_server(replace(settings, postgres=url), **options).url)


def assert_discreet(text: str, url: str) -> None:
    told = re.sub(r'\{"name":"results".*', "", text)  # the last check of readiness
    assert not re.search(r"SELECT|INSERT|events|results|postgres:|plain|127\.0|/dev/|/tmp", told), text
    assert role_of(url) not in text


# Privileges


def test_the_privileges_that_are_looked_for_are_enough(
    settings: Settings, database_url: str, plain: str, start_server: StartServer
) -> None:
    grant_all(database_url, plain)
    old = "INSERT INTO events (event_time, orchestrator, region_id, payload) VALUES (now() - interval '3 days', '0x1', 1, '{}')"
    execute(database_url, old)
    client = serve(start_server, settings, plain)
    for number in range(3):
        assert client.post_stats(ai(timestamp=number)).data == b"ok"
        assert client.post_stats(transcoding(region="LAX"), key=f"k{number}").data == b"ok"
        assert client.post_stats(ai(region="NYC")).data == b"ok", "registered for AI"
    for path in PATHS:
        answer = client.get(path)
        assert (answer.status, len(answer.data) > 2) == (200, True), path

    async def upkeep() -> None:
        database = Database(plain, connections=1, timeout_s=20)
        connection = await database.connect()
        try:
            assert await backfill(connection, RollupBuilder(connection))
            await connection.execute(
                sql("expire_idempotency_keys"), await connection.fetchval("SELECT now()")
            )
        finally:
            connection.terminate()
            await database.close()

    run(upkeep())
    assert client.get("/readyz").json()["ready"] is True


def test_each_privilege_that_is_lacking_is_noticed_and_named(
    settings: Settings, database_url: str, plain: str, start_server: StartServer, orchboard: Orchboard
) -> None:
    privileges = grant_all(database_url, plain)
    assert len(privileges) > 30
    client = serve(start_server, settings, plain)
    assert client.get("/api/health").status == 200
    for each in privileges:
        execute(database_url, f"REVOKE {each} FROM {role_of(plain)}")
        assert lacked(plain) == [each]
        for path in ("/api/health", "/readyz"):
            answer = client.get(path)
            assert (answer.status, NO_PRIVILEGE in answer.data.decode()) == (503, True), each
            assert_discreet(answer.data.decode(), plain)
        execute(database_url, f"GRANT {each} TO {role_of(plain)}")
    assert client.get("/api/health").status == 200
    execute(database_url, f"REVOKE {privileges[0]} FROM {role_of(plain)}")
    done = orchboard("doctor", POSTGRES=plain, SECRET="sixteen bytes or more")
    assert f"✗ privileges: role {role_of(plain)} lacks {privileges[0]}" in done.out
    assert f'    GRANT {privileges[0]} TO "{role_of(plain)}";' in done.out


def test_every_object_of_the_schema_is_looked_for(database_url: str) -> None:
    named = set(re.findall(r"'([a-z_]+)(?:\(.*?\))?'", sql("ping")))
    relations = execute(
        database_url,
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'S', 'm', 'p')"
        " AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'i' AND relkind = 'S')",
    )
    functions = execute(
        database_url, "SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    )
    # Triggers need no privilege, no server adds a job type, and only `orchboard mirror` needs what it has copied. The former
    # names of the rollup tables are for servers of an older release.
    former = {"spans", "sealing", "segments", "round_trips", "pipelines_seen", "series", "round_trip_bucket"}
    others = former | {
        "job_types_id_seq",
        "mirrors",
        "note_late_result",
        "note_changed_results",
        "note_changed_region",
        "keep_final_bucket",
    }
    assert {name for (name,) in (*relations, *functions)} - others <= named


def test_the_sequence_that_citus_calls_is_looked_for_where_citus_is(database_url: str, plain: str) -> None:
    """An entry of the catalogue stands for the extension, which the tests' server does not have."""
    grant_all(database_url, plain)
    execute(
        database_url,
        "SET allow_system_table_mods = on",
        "INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)"
        " VALUES (99999, 'citus', 10, 2200, false, '13.2')",
    )
    assert lacked(plain) == ["USAGE ON SEQUENCE rollup_round_trips_id_seq"]


def test_a_views_owner_that_may_not_read_is_noticed(database_url: str, plain: str) -> None:
    grant_all(database_url, plain)
    execute(
        database_url,
        f"ALTER VIEW results OWNER TO {role_of(plain)}",
        f"REVOKE SELECT ON events FROM {role_of(plain)}",
    )
    assert f"SELECT ON events TO {role_of(plain)}" in lacked(database_url)


def test_readers_get_the_name_of_a_missing_privilege(
    settings: Settings, database_url: str, plain: str, start_server: StartServer
) -> None:
    grant_all(database_url, plain)
    client = serve(start_server, settings, plain)
    assert client.get("/api/health").status == 200
    execute(database_url, f"REVOKE SELECT ON results, regions FROM {role_of(plain)}")
    for path in ("/api/aggregated_stats?since=77", f"/api/raw_stats?orchestrator={ORCHESTRATOR}"):
        answer = client.get(path)
        assert (answer.status, answer.json()) == (503, {"error": NO_PRIVILEGE}), path


# Whatever else keeps it from being read or written


REFUSALS = {
    "wrong password": ("ALTER ROLE {role} PASSWORD 'another'", "refuses the server's login", "read"),
    "login taken away": ("ALTER ROLE {role} NOLOGIN", "refuses the server's login", "read"),
    "database dropped": ('DROP DATABASE "{database}" WITH (FORCE)', "does not exist", "read"),
    "too many connections": ("ALTER ROLE {role} CONNECTION LIMIT 0", "no connection left", "read"),
    "a column is gone": ("ALTER VIEW results RENAME COLUMN success_rate TO rate", SCHEMA_DIFFERS, "read"),
    "read-only": ('ALTER DATABASE "{database}" SET default_transaction_read_only = on', READ_ONLY, "write"),
    "disk full": ("{trigger_53100}", "no room left", "write"),
    "no privilege to insert": ("REVOKE INSERT ON events FROM {role}", NO_PRIVILEGE, "write"),
}  # fmt: skip
TRIGGER = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE 'could not extend file "base/1/2"' USING ERRCODE = '{}'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON events EXECUTE FUNCTION refuse()
"""


@pytest.mark.parametrize("condition", REFUSALS)
def test_each_condition_has_one_message_everywhere(
    settings: Settings,
    server_url: str,
    database_url: str,
    plain: str,
    start_server: StartServer,
    condition: str,
) -> None:
    statement, words, kind = REFUSALS[condition]
    database = database_url.partition("@/")[2].partition("?")[0]
    grant_all(database_url, plain)
    client = serve(start_server, replace(settings, db_timeout_s=2), plain)
    assert client.get("/api/pipelines").status == 200
    assert client.post_stats(transcoding()).data == b"ok"
    statement = statement.format(
        role=role_of(plain), database=database, trigger_53100=TRIGGER.format("53100")
    )
    for part in [statement] if "$$" not in statement else re.split(r";\n(?=CREATE TRIGGER)", statement):
        execute(server_url if "DROP DATABASE" in part else database_url, part)
    if condition not in ("database dropped", "disk full", "no privilege to insert", "a column is gone"):
        execute(
            server_url,
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'",
        )
    if kind == "read":
        answer = client.get("/api/aggregated_stats?since=123")
    else:
        assert client.get("/api/aggregated_stats?since=123").status == 200
        answer = client.post_stats(transcoding())
    assert answer.status == 503
    assert words in answer.json()["error"]
    assert_discreet(answer.data.decode(), plain)
    ready = client.get("/readyz")
    if condition != "a column is gone":  # a round trip does not find that
        assert (ready.status, words in ready.data.decode()) == (503, True), ready.data
        assert_discreet(ready.data.decode(), plain)


def test_a_server_whose_results_wait_in_the_spool_is_ready_and_says_why_they_wait(
    settings: Settings, database_url: str, start_server: StartServer, orchboard: Orchboard, tmp_path: Path
) -> None:
    running = start_server(settings, spool_path=tmp_path / "spool" / "s.sqlite")
    client = Client(running.url)
    assert client.post_stats(transcoding()).data == b"ok"
    execute(database_url, *re.split(r";\n(?=CREATE TRIGGER)", TRIGGER.format("53100")))
    assert client.post_stats(transcoding()).data == b"ok"
    answer = client.get("/readyz")
    assert answer.status == 200
    [note] = [check["note"] for check in answer.json()["checks"] if "note" in check]
    assert "no room left" in note
    assert client.get("/api/aggregated_stats?since=5").status == 200
    done = orchboard("doctor", POSTGRES=database_url, PORT=str(running.port), SECRET="sixteen bytes or more")
    assert f"reports: {note}" in done.out
    execute(database_url, "DROP TRIGGER refuse ON events")
    wait_until(lambda: "note" not in client.get("/readyz").data.decode())
