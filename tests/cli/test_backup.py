"""`orchboard backup` and `orchboard restore`, on results of every sort that anybody may have written."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from orchboard.store.schema.migrate import migrate_to
from orchboard.store.schema.migration_files import load_migrations
from orchboard.store.schema.version_tables import LAST_SHARED
from orchboard.store.sql_files import sql
from orchboard.store.transfer.archive import atomic_file
from orchboard.store.transfer.backup import back_up
from orchboard.window import LATEST as LATEST_MOMENT
from tests.support.database import run
from tests.support.program import Orchboard, environment
from tests.support.rollup_database import INSERT_RANDOM_RESULTS
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, StartServer
from tests.support.store_writes import query

QUESTIONS = (
    "/api/aggregated_stats?since=0",
    "/api/aggregated_stats?since=0&job_type=ai",
    "/api/pipelines?since=0",
    "/api/top_ai_score?since=0",
    "/api/regions",
    f"/api/raw_stats?since=0&orchestrator={ORCHESTRATOR}",
    "/api/raw_stats?since=0&orchestrator=0xbb",
    "/api/raw_stats?since=0&orchestrator=0xbb&job_type=ai",
)

# What the API would not take, but others may have written.
ODD = """
INSERT INTO regions (name, display_name, job_type_id) VALUES ('MUC', 'Mün"chen', 1), ('OLD', 'Without a type', NULL);
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT t::timestamptz, o, (SELECT min(id) FROM regions WHERE name = r), p::jsonb FROM (VALUES
    ('1970-01-01', E'0x\n"\\\\', NULL, '{"a": "\\u2028 \\" \\\\ \\n ü"}'),
    ('2020-02-29 12:00:00.000001+02', '0xBb', 'MUC', '{"success_rate": 1e99, "round_trip_time": 1.500}'),
    ('infinity', '0xcc', 'OLD', '[]'), ('-infinity', '0xcc', 'MUC', 'null'), ('0044-03-15 BC', '', 'FRA', '"x"')
) AS odd (t, o, r, p), generate_series(1, 3)
"""
LATEST = len(load_migrations())
RESULTS = "SELECT count(*) FROM results"


async def _fill(url: str, results: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT setseed(0.5)")
        await connection.execute(INSERT_RANDOM_RESULTS, results)
    finally:
        await connection.close()


def answers(client: Client) -> list[Any]:
    """Means to nine places: which of two results was stored first decides their last bits."""
    asked = [client.get(question) for question in QUESTIONS]
    assert {answer.status for answer in asked} == {200}
    return [json.loads(answer.data, parse_float=lambda text: round(float(text), 9)) for answer in asked]


async def _saved(url: str, file: Path) -> str:
    """Back up in this process, which is quicker; the digest."""
    with atomic_file(file) as out:
        trailer = await back_up(lambda: asyncpg.connect(url), out, on_progress=lambda *_: None)
    return trailer.results_sha256


@pytest.fixture
def saved(database_url: str, execute: Callable[[str], None], tmp_path: Path) -> tuple[Path, str]:
    """A backup of 5,000 results and the odd ones, and its digest."""
    run(_fill(database_url, 5000))
    execute(ODD)
    file = tmp_path / "results.jsonl.zst"
    return file, run(_saved(database_url, file))


def test_what_is_restored_elsewhere_gives_the_same_answers(
    orchboard: Orchboard,
    settings: Settings,
    saved: tuple[Path, str],
    empty_database: str,
    start_server: StartServer,
) -> None:
    file, digest = saved
    done = orchboard("restore", str(file), POSTGRES=empty_database)
    assert done.status == 0
    assert done.out.startswith("restored 5,015 of 5,015 results and 2 regions in ")
    assert done.out.split()[-1] == digest
    servers = [start_server(replace(settings, postgres=url)) for url in (settings.postgres, empty_database)]
    before, after = [answers(Client(server.url)) for server in servers]
    assert after == before
    assert len(before[0]) == 3 and before[6]["FRA"]


def test_restoring_again_stores_nothing(
    orchboard: Orchboard, saved: tuple[Path, str], database_url: str
) -> None:
    file, digest = saved
    again = orchboard("backup", str(file), POSTGRES=database_url)
    assert again.out.startswith("backed up 5,015 results in ") and again.out.split()[-1] == digest
    done = orchboard("restore", str(file), POSTGRES=database_url)
    assert done.out.startswith("restored 0 of 5,015 results and 0 regions in ")
    assert run(query(database_url, RESULTS)) == 5015


def test_a_restore_that_is_killed_goes_on_and_two_at_once_store_nothing_twice(
    orchboard: Orchboard, saved: tuple[Path, str], empty_database: str, tmp_path: Path
) -> None:
    file, digest = saved
    command = [sys.executable, "-m", "orchboard", "restore", str(file)]
    variables = environment(tmp_path, POSTGRES=empty_database)
    orchboard("migrate", "up", POSTGRES=empty_database)
    killed = subprocess.Popen(command, env=variables)
    deadline = time.monotonic() + 30
    while (number := run(query(empty_database, RESULTS))) == 0:
        assert killed.poll() is None and time.monotonic() < deadline
    killed.kill()
    killed.wait()
    assert number < 5015
    both = [subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [each.communicate(timeout=60)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert [out.split()[-1] for out in told] == [digest, digest]
    assert run(query(empty_database, RESULTS)) == 5015


def test_results_received_meanwhile_stay_and_are_reported(
    orchboard: Orchboard,
    saved: tuple[Path, str],
    empty_database: str,
    settings: Settings,
    start_server: StartServer,
) -> None:
    file, _ = saved
    client = Client(start_server(replace(settings, postgres=empty_database)).url)
    assert client.post_stats(transcoding()).data == client.post_stats(ai()).data == b"ok"
    done = orchboard("restore", str(file), POSTGRES=empty_database)
    assert done.status == 0
    assert "the database has 2 more results of that period" in done.out
    assert len(client.get("/api/raw_stats", orchestrator=ORCHESTRATOR).json()["MDW"]) == 1


def test_a_file_that_is_not_what_was_written_is_refused_before_anything_is_stored(
    orchboard: Orchboard, saved: tuple[Path, str], empty_database: str
) -> None:
    file, _ = saved
    file.write_bytes(file.read_bytes()[:-20])
    done = orchboard("restore", str(file), POSTGRES=empty_database)
    assert (done.status, done.out) == (1, "") and "cut off" in done.err
    assert run(query(empty_database, "SELECT to_regclass('events')")) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_backup_from_a_pipe_needs_no_temporary_directory(
    saved: tuple[Path, str], empty_database: str, tmp_path: Path
) -> None:
    file, _ = saved
    needed = Path(sys.executable), Path(__file__)  # a checkout may be in a temporary directory
    closed = [
        path
        for path in ("/tmp", "/var/tmp", "/usr/tmp")
        if Path(path).is_dir() and not any(each.is_relative_to(path) for each in needed)
    ]
    mounts = [*(f"mount -t tmpfs -o ro none {path}" for path in closed), "mount -t tmpfs none /var/lib"]
    with file.open("rb") as source:
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", f'{"; ".join(mounts)}; exec "$@"', "-",
             sys.executable, "-m", "orchboard", "restore", "-"],
            env={**environment(tmp_path, POSTGRES=empty_database), "ORCHBOARD_DATA": "/var/lib/orchboard", "HOME": "/"},
            stdin=source, cwd="/proc", capture_output=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"restored")


def test_an_empty_database_goes_through_a_pipe(
    orchboard: Orchboard, database_url: str, empty_database: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "orchboard", "backup", "-"]
    piped = subprocess.run(command, env=environment(tmp_path, POSTGRES=database_url), capture_output=True)
    assert piped.stderr.startswith(b"backed up 0 results")
    done = orchboard("restore", "-", stdin=piped.stdout, POSTGRES=empty_database)
    assert done.out.startswith("restored 0 of 0 results and 0 regions")


def test_there_is_nothing_to_back_up_in_a_database_without_a_leaderboard(
    orchboard: Orchboard, empty_database: str, tmp_path: Path
) -> None:
    done = orchboard("backup", str(tmp_path / "none"), POSTGRES=empty_database)
    assert done.status == 3 and "has no results" in done.err
    assert not [path.name for path in tmp_path.iterdir() if path.name != "data"]


def test_the_reference_servers_database_is_backed_up_as_it_is(
    orchboard: Orchboard, empty_database: str, tmp_path: Path
) -> None:
    run(migrate_to(lambda: asyncpg.connect(empty_database), LAST_SHARED))
    run(_fill(empty_database, 3000))
    file = tmp_path / "before"
    before = orchboard("backup", str(file), POSTGRES=empty_database)
    assert before.out.startswith("backed up 3,000 results")
    assert orchboard("migrate", "version", POSTGRES=empty_database).out.startswith("3 of ")
    assert orchboard("restore", str(file), POSTGRES=empty_database).out.startswith("restored 0 of 3,000")
    assert orchboard("migrate", "version", POSTGRES=empty_database).out.startswith(f"{LATEST} of ")


def test_while_results_are_moved_every_backup_is_the_same(empty_database: str, tmp_path: Path) -> None:
    async def move(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        while await connection.fetchval(sql("move_results"), LATEST_MOMENT, 100):
            await asyncio.sleep(0)
        while not await connection.fetchval(sql("finish_table_move")):
            await asyncio.sleep(0)

    async def look() -> set[str]:
        await migrate_to(lambda: asyncpg.connect(empty_database), LAST_SHARED)
        await _fill(empty_database, 3000)
        digests = {await _saved(empty_database, tmp_path / "file")}
        await migrate_to(lambda: asyncpg.connect(empty_database))
        connection = await asyncpg.connect(empty_database)
        moving = asyncio.create_task(move(connection))
        while not moving.done():
            digests.add(await _saved(empty_database, tmp_path / "file"))
        await moving
        assert not await connection.fetchval(sql("has_legacy_table"))
        await connection.close()
        return digests | {await _saved(empty_database, tmp_path / "file")}

    assert len(run(look())) == 1


def test_a_backup_that_ends_early_leaves_the_file_that_was_there(
    orchboard: Orchboard, saved: tuple[Path, str]
) -> None:
    file, _ = saved
    before = file.read_bytes()
    done = orchboard("backup", str(file), POSTGRES="postgresql://nobody@127.0.0.1:1/none")
    assert done.status == 4
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir() if "unfinished" in path.name] == []
    assert orchboard("backup", str(file.parent), POSTGRES="postgresql://nobody@127.0.0.1:1/none").status == 1


@pytest.mark.parametrize("name", ["missing/results.zst", "x" * 300])
def test_an_error_names_the_file_that_was_asked_for(
    orchboard: Orchboard, database_url: str, tmp_path: Path, name: str
) -> None:
    done = orchboard("backup", name, POSTGRES=database_url)
    assert (done.status, done.out) == (1, "")
    assert done.err.endswith(f": {name}\n")
    assert "unfinished" not in done.err
