import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from orchboard.store.diagnostics.server_checks import _unsafe
from orchboard.store.schema.migrate import fetch_schema_version, migrate_to
from orchboard.store.schema.migration_files import load_migrations
from orchboard.store.spool.location import spool_path
from orchboard.store.spool.sqlite_file import SpoolFile
from tests.support.database import run
from tests.support.program import CompletedRun, Orchboard
from tests.support.samples import transcoding
from tests.support.server import Client, RunningServer

LATEST = len(load_migrations())


def findings(done: CompletedRun, about: str) -> list[tuple[str, str]]:
    return [(one["level"], one["says"]) for one in done.json()["findings"] if one["about"] == about]


def test_a_sound_setup_has_no_complaint(
    orchboard: Orchboard, database_url: str, client: Client, server: RunningServer
) -> None:
    client.post_stats(transcoding())
    done = orchboard("doctor", POSTGRES=database_url, PORT=str(server.port), SECRET="sixteen bytes or more")
    assert (done.status, done.err) == (0, "")
    assert all(line.startswith("✓ ") for line in done.out.splitlines()), done.out
    for words in (
        "POSTGRES, SECRET, PORT",
        "answers",
        "PostgreSQL 18",
        "the latest",
        "22 regions",
        "orchboard is running on",
    ):
        assert words in done.out


def test_every_setting_that_cant_be_read_is_named_with_its_meaning(
    orchboard: Orchboard, database_url: str
) -> None:
    done = orchboard("doctor", POSTGRES=database_url, WORKERS="many", DB_TIMEOUT="soon", SECRET="short")
    assert done.status == 1
    for words in (
        "✗ settings: WORKERS can't be read: it must be a whole number from 1 to 64",
        "✗ settings: DB_TIMEOUT can't be read",
        "    How long a request may wait for the database",
        "! secret: SECRET is short (5 bytes)",
        "✓ database: answers",
    ):
        assert words in done.out


def one_reply(reply: bytes) -> Callable[[socket.socket], None]:
    def answer(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1024)
                connection.sendall(reply)

    return answer


@pytest.fixture
def no_tls() -> Iterator[int]:
    """The port of something that refuses TLS as Postgres does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=one_reply(b"N"), args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("url", "level", "words"),
    [
        ("postgresql://u:hush@nosuch.invalid/x", "error", "the host name is unknown"),
        ("postgresql://u:hush@127.0.0.1:1/x", "error", "the connection was refused"),
        ("postgresql://u:hush@/x?host=/nosuch", "error", "the socket in POSTGRES does not exist"),
        ("postgresql://u:hush@127.0.0.1:{no_tls}/x?sslmode=require", "error", "does not support TLS"),
        ("{wrong_password}", "error", "the user or the password is wrong"),
        ("{missing}", "warning", "the database does not exist"),
    ],
)
def test_why_a_database_cant_be_reached_is_said_in_words(
    orchboard: Orchboard, server_url: str, no_tls: int, url: str, level: str, words: str
) -> None:
    login, tail = server_url.split("@")
    url = url.format(
        no_tls=no_tls,
        wrong_password=f"{login.rpartition(':')[0]}:hush@{tail}",
        missing=f"{login}@/nosuch?{tail.partition('?')[2]}",
    )
    done = orchboard("doctor", "--json", POSTGRES=url, DB_TIMEOUT="5")
    [(said_level, said)] = findings(done, "database")
    assert (said_level, words in said) == (level, True), said
    assert done.status == (1 if level == "error" else 0)
    assert "hush" not in done.out


def test_what_is_wrong_inside_the_database_is_said(
    orchboard: Orchboard, database_url: str, execute: Callable[..., None]
) -> None:
    execute(
        "INSERT INTO events (orchestrator, region_id, payload, event_time)"
        " VALUES ('0xABC', 1, '{}', now() - interval '3 days'), ('0xabc', 1, '{}', now() - interval '4 days')",
        "CREATE INDEX half_made ON events (id)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'half_made'::regclass",
        "UPDATE schema_migrations SET dirty = true",
        f"ALTER DATABASE {database_url.split('/')[3].split('?')[0]} SET synchronous_commit = off",
    )
    done = orchboard("doctor", "--json", POSTGRES=database_url)
    assert done.status == 1
    [(level, unsafe)] = findings(done, "durability")
    assert (level, "turned off: synchronous_commit;" in unsafe) == ("warning", True)
    assert findings(done, "schema")[0][0] == "error"
    assert "never finished" in findings(done, "schema")[0][1]
    assert findings(done, "index") == [("warning", "half_made is invalid: its creation was interrupted")]
    newest, mixed = findings(done, "results")
    assert newest == ("warning", "the newest was received 3 days ago")
    assert mixed[1].startswith("1 results have an orchestrator in mixed case")


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_the_remedy_for_lost_durability_is_one_that_postgres_accepts(
    database_url: str, execute: Callable[..., None], setting: str
) -> None:
    statement = f"ALTER DATABASE {database_url.split('/')[3].split('?')[0]} SET {setting} = on"
    try:
        execute(statement)
        is_accepted = True
    except asyncpg.CantChangeRuntimeParamError:
        is_accepted = False
    assert ("ALTER DATABASE" in _unsafe([setting]).remedy) is is_accepted


def test_a_port_of_another_program_is_distinguished_from_one_of_orchboard(
    orchboard: Orchboard, database_url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=one_reply(b"220 mail\r\n"), args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        done = orchboard("doctor", POSTGRES=database_url, PORT=str(port))
        listener.shutdown(socket.SHUT_RDWR)
    assert done.status == 1
    assert f"✗ port: 127.0.0.1 port {port} is in use by another program" in done.out


def test_nothing_is_made_where_there_is_nothing_yet(orchboard: Orchboard, tmp_path: Path) -> None:
    done = orchboard("doctor", "--json", SECRET="", PORT="0")
    assert done.status == 0
    assert findings(done, "database") == [
        ("warning", "there is no embedded database yet, and POSTGRES is not set")
    ]
    assert "only testers with their own keys may post" in findings(done, "secret")[0][1]
    assert list(tmp_path.iterdir()) == []


def test_a_kept_secret_that_others_can_read_is_found(orchboard: Orchboard, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/secret").write_text("0123456789abcdef0123456789abcdef")
    (tmp_path / "data/secret").chmod(0o644)
    [(level, says)] = findings(orchboard("doctor", "--json", SECRET="", PORT="0"), "secret")
    assert (level, says.endswith("can be read by others")) == ("warning", True)


def migrate(url: str, version: int) -> None:
    run(migrate_to(lambda: asyncpg.connect(url), version))


def execute(url: str, *statements: str) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    run(work())


def test_the_references_database_is_described_before_anything_is_changed(
    orchboard: Orchboard, empty_database: str
) -> None:
    migrate(empty_database, 3)
    execute(
        empty_database,
        "INSERT INTO events (orchestrator, region_id, payload) SELECT '0xAB', min(id), '{}' FROM regions",
    )
    done = orchboard("doctor", POSTGRES=empty_database, SECRET="sixteen bytes or more")
    assert done.status == 0, done.out
    assert "! schema: version 3" in done.out
    assert "1 results have an orchestrator in mixed case" in done.out
    assert run(fetch_schema_version(lambda: asyncpg.connect(empty_database))).version == 3


def test_a_schema_without_testers_is_not_searched_for_names(
    orchboard: Orchboard, empty_database: str
) -> None:
    migrate(empty_database, 3)
    done = orchboard(
        "doctor", POSTGRES=empty_database, SECRET="sixteen bytes or more", ORCHESTRATOR_NAMES="address"
    )
    assert done.status == 0, done.out
    assert "! schema: version 3" in done.out
    assert "not all checks could be run" not in done.out


def test_triggers_that_do_not_fire_are_named_with_a_remedy_that_works(
    orchboard: Orchboard, database_url: str
) -> None:
    execute(database_url, "ALTER TABLE events DISABLE TRIGGER note_updated_results")
    execute(database_url, "DROP TRIGGER note_renamed_region ON regions")
    done = orchboard("doctor", POSTGRES=database_url)
    assert (
        "! triggers: disabled or missing: note_updated_results ON events, note_renamed_region ON regions"
        in (done.out)
    )
    execute(database_url, "ALTER TABLE events ENABLE ALWAYS TRIGGER note_updated_results")
    assert ": note_renamed_region ON regions" in orchboard("doctor", POSTGRES=database_url).out
    assert orchboard("migrate", "goto", "10", "--yes", POSTGRES=database_url).status == 0
    assert orchboard("migrate", "up", POSTGRES=database_url).status == 0
    assert "triggers:" not in orchboard("doctor", POSTGRES=database_url).out


def test_the_newest_result_is_one_that_is_not_ahead_of_the_clock(
    orchboard: Orchboard, database_url: str
) -> None:
    for moment in ("infinity", "-infinity", "55840-01-02", "2100-01-01"):
        insert = (
            "INSERT INTO events (orchestrator, region_id, payload, event_time) VALUES ('0x1', 1, '{}', '%s')"
        )
        execute(database_url, insert % moment)
    done = orchboard("doctor", "--json", POSTGRES=database_url, ORCHESTRATOR_NAMES="any")
    said = findings(done, "results")
    assert said == [("warning", "there are no results yet")]


def test_a_leaderboard_in_another_schema_is_named(orchboard: Orchboard, empty_database: str) -> None:
    execute(empty_database, "CREATE SCHEMA board")
    there = empty_database + "&options=-csearch_path%3Dboard"
    migrate(there, LATEST)
    execute(there, "INSERT INTO events (orchestrator, region_id, payload) VALUES ('0x1', 1, '{}')")
    done = orchboard("doctor", POSTGRES=empty_database, SECRET="sixteen bytes or more")
    assert done.status == 1
    assert "✗ schema: the schema public, which POSTGRES selects, is empty" in done.out
    assert (
        "the schema board has a leaderboard with results\n    Add `options=-csearch_path%3Dboard`" in done.out
    )
    done = orchboard("serve", POSTGRES=empty_database, PORT="0")
    assert (done.status, "the schema board has a leaderboard with results" in done.err) == (3, True)
    migrate(empty_database + "&options=-csearch_path%3Dpublic", LATEST)
    done = orchboard("doctor", POSTGRES=empty_database, SECRET="sixteen bytes or more")
    assert done.status == 0
    assert "! schema: the schema public has no results, but the schema board has" in done.out
    done = orchboard("doctor", POSTGRES=there, SECRET="sixteen bytes or more")
    assert f"✓ schema: version {LATEST}, the latest, in the schema board" in done.out


def test_the_way_out_of_a_half_taken_down_schema_is_said(orchboard: Orchboard, database_url: str) -> None:
    execute(database_url, "UPDATE schema_migrations SET version = -1, dirty = true")
    done = orchboard("doctor", POSTGRES=database_url, SECRET="sixteen bytes or more")
    assert done.status == 1
    assert "✗ schema: the version tables disagree" in done.out
    assert f"    Run `orchboard migrate force {LATEST}` to continue as before" in done.out


def test_a_role_that_cannot_migrate_gets_the_missing_privileges(
    orchboard: Orchboard, empty_database: str
) -> None:
    migrate(empty_database, 3)
    role = f"reader_{os.getpid()}"
    execute(
        empty_database,
        f"CREATE ROLE {role} LOGIN PASSWORD 'plain'",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    )
    owner = empty_database.split("://")[1].split("@")[0]
    try:
        url = empty_database.replace(owner, f"{role}:plain")
        done = orchboard("doctor", POSTGRES=url, SECRET="sixteen bytes or more")
        assert done.status == 1
        assert [
            level for level, _ in findings(orchboard("doctor", "--json", POSTGRES=url), "privileges")
        ] == ["error"] * 2
        assert f'GRANT CREATE ON SCHEMA "public" TO "{role}"' in done.out
    finally:
        execute(empty_database, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_kept_secret_is_no_secret_of_a_server_on_postgres(
    orchboard: Orchboard, database_url: str, tmp_path: Path
) -> None:
    kept = tmp_path / "secret"
    kept.write_text("0" * 64)
    kept.chmod(0o600)
    done = orchboard("doctor", POSTGRES=database_url, ORCHBOARD_DATA=str(tmp_path), SECRET="")
    assert "! secret: SECRET is not set, so `serve` accepts results only from testers" in done.out


def test_what_secrets_are_accepted_is_said(orchboard: Orchboard, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x" * 20)
    file = str(tmp_path / "file")
    done = orchboard("doctor", "--json", SECRET="", SECRET_FILE=file, SECRET_PREVIOUS="short", PORT="0")
    assert findings(done, "secret") == [
        ("ok", "SECRET is set (20 bytes)"),
        ("warning", "SECRET_PREVIOUS is short: it can be guessed from one signed result"),
    ]
    done = orchboard("doctor", "--json", SECRET_FILE=file, PORT="0")
    assert done.status == 1
    assert ("error", "SECRET and SECRET_FILE are both set: take one of them away") in findings(
        done, "settings"
    )
    done = orchboard("doctor", "--json", SECRET="", SECRET_FILE=f"{file}s", PORT="0")
    assert (
        findings(done, "settings")[0][1] == f"SECRET_FILE can't be read: {file}s: No such file or directory"
    )


def test_results_whose_orchestrator_is_no_address_are_counted_by_tester(
    orchboard: Orchboard, database_url: str, client: Client
) -> None:
    for name in ("error", "error", "0x" + "a" * 40):
        assert client.post_stats(transcoding(orchestrator=name)).data == b"ok"
    strict = orchboard("doctor", "--json", POSTGRES=database_url, ORCHESTRATOR_NAMES="address")
    [(level, says)] = [found for found in findings(strict, "results") if "not an address" in found[1]]
    assert level == "warning"
    assert says.startswith("2 results of the last day, from testers with the shared secret, ")
    assert "such as 'error': they are stored, but count towards no score" in says
    anyone = orchboard("doctor", "--json", POSTGRES=database_url, ORCHESTRATOR_NAMES="any")
    assert not [says for _, says in findings(anyone, "results") if "not an address" in says]


def test_a_spool_that_would_refuse_results_is_found(orchboard: Orchboard, tmp_path: Path) -> None:
    data = tmp_path / "data"
    path = spool_path(data, "")
    file = SpoolFile(path, max_bytes=2**20)
    file.try_to_write()
    file.close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 1000")
    newer.close()
    [(level, says)] = findings(orchboard("doctor", "--json", ORCHBOARD_DATA=str(data)), "spool")
    assert level == "warning"
    assert "embedded.sqlite was written by a newer version of orchboard" in says
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("no directory")
    [(level, says)] = findings(orchboard("doctor", "--json", ORCHBOARD_DATA=str(data)), "spool")
    assert level == "warning"
    assert says.startswith("results are refused while the database is unavailable: ")


def test_a_setting_under_its_old_name_is_examined_under_that_name(orchboard: Orchboard) -> None:
    done = orchboard("doctor", SHORT_WAY="offf", POSTGRES="postgresql://127.0.0.1:1/x")
    assert "✗ settings: SHORT_WAY can't be read: it must be on or off" in done.out
    assert "port:" in done.out
    assert "SHORT_WAY set;" in orchboard(
        "doctor", SHORT_WAY="off", POSTGRES="postgresql://127.0.0.1:1/x"
    ).out.replace("SECRET, ", "").replace("POSTGRES, ", "")
