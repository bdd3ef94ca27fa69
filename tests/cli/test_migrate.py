import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from orchboard.store.legacy_import.backfill import BackfillProgress, fetch_progress
from orchboard.store.schema.migrate import migrate_to
from orchboard.store.schema.migration_files import load_migrations
from tests.support.database import run
from tests.support.program import Orchboard, environment

LATEST = len(load_migrations())
OLD_RESULTS = 4000


def test_the_schema_moves_and_each_step_is_told(orchboard: Orchboard, empty_database: str) -> None:
    up = orchboard("migrate", "up", POSTGRES=empty_database)
    # A span may end just then, and is summed up.
    *steps, last = [line for line in up.out.splitlines() if not line.startswith("built ")]
    assert [step.split()[:2] for step in steps] == [[str(n), "up"] for n in range(1, LATEST + 1)]
    assert all(step.endswith(" s") for step in steps)
    assert last == f"the schema is at version {LATEST}"
    again = orchboard("migrate", "up", POSTGRES=empty_database)
    first, *more = again.out.splitlines()
    assert first == f"the schema is already at version {LATEST}"
    assert all(line.startswith("built ") for line in more), "what just ended"
    down = orchboard("migrate", "down", "2", "--yes", POSTGRES=empty_database)
    assert down.out.endswith(f"the schema is at version {LATEST - 2}\n")
    goto = orchboard("migrate", "goto", "3", "--yes", POSTGRES=empty_database)
    assert goto.out.splitlines()[-1].startswith("the schema is at version 3")
    version = orchboard("migrate", "version", "--json", POSTGRES=empty_database)
    assert version.json() == {"version": 3, "dirty": False, "latest": LATEST, "taking_over": None}


@pytest.fixture
def old_database(empty_database: str) -> str:
    """The URL of a database of the reference server's last version, with OLD_RESULTS in it."""

    async def fill() -> None:
        await migrate_to(lambda: asyncpg.connect(empty_database), 3)
        connection = await asyncpg.connect(empty_database)
        await connection.execute(
            "INSERT INTO events (event_time, orchestrator, region_id, payload) "
            "SELECT now() - interval '1 day' * (n % 40), '0x1', 1, '{}' FROM generate_series(1, $1::integer) n",
            OLD_RESULTS,
        )
        await connection.execute("ANALYZE")
        await connection.close()

    run(fill())
    return empty_database


async def _look(url: str) -> tuple[BackfillProgress, int]:
    connection = await asyncpg.connect(url)
    try:
        number = await connection.fetchval("SELECT count(DISTINCT id) FROM results")
        return await fetch_progress(connection), number
    finally:
        await connection.close()


def test_old_results_are_moved_and_summed_up_and_it_says_so(orchboard: Orchboard, old_database: str) -> None:
    schema = orchboard("migrate", "up", "--schema-only", POSTGRES=old_database)
    assert schema.out.splitlines()[-1] == f"the schema is at version {LATEST}"
    told = orchboard("migrate", "version", POSTGRES=old_database).out.splitlines()
    assert told[0] == f"{LATEST} of {LATEST}"
    assert told[1].endswith("results are not moved yet; 0 are in rollups (in progress)")
    doctor = orchboard("doctor", POSTGRES=old_database)
    assert "! rollups: " in doctor.out and "are not moved yet" in doctor.out

    up = orchboard("migrate", "up", POSTGRES=old_database).out.splitlines()
    assert up[0] == f"the schema is already at version {LATEST}"
    assert up[1].startswith(f"moved {OLD_RESULTS:,} results and built ")
    state = orchboard("migrate", "version", "--json", POSTGRES=old_database).json()["taking_over"]
    assert (state["unmoved"], state["is_settled"], state["is_done"]) == (0, True, True)
    assert 0 < state["summed_up"] <= OLD_RESULTS
    assert "✓ rollups: " in orchboard("doctor", POSTGRES=old_database).out
    again = orchboard("migrate", "up", POSTGRES=old_database)
    first, *more = again.out.splitlines()
    assert first == f"the schema is already at version {LATEST}"
    assert all(line.startswith("built ") for line in more), "what just ended"


def test_on_a_terminal_there_are_bars(old_database: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "orchboard", "migrate", "up"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment(tmp_path, POSTGRES=old_database, TERM="xterm", COLUMNS="100"),
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # EIO: the program has ended
        while some := os.read(ours, 65536):
            shown += some
    out, _ = program.communicate(timeout=30)
    os.close(ours)
    assert program.returncode == 0
    assert b"moving" in shown and b"building rollups" in shown
    assert f"moved {OLD_RESULTS:,} results".encode() in out


def test_killed_it_goes_on_the_next_time_and_two_may_do_it_at_once(
    orchboard: Orchboard, old_database: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "orchboard", "migrate", "up"]
    variables = environment(tmp_path, POSTGRES=old_database)
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables)
    assert killed.stdout is not None
    while f"version {LATEST}" not in killed.stdout.readline().decode():
        assert killed.poll() is None
    killed.kill()
    killed.communicate()
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, env=variables) for _ in range(2)]
    for each in both:
        out, _ = each.communicate(timeout=60)
        assert each.returncode == 0, out
    progress, number = run(_look(old_database))
    assert progress.is_settled and progress.is_done and number == OLD_RESULTS


@pytest.mark.parametrize("words", [("down",), ("goto", "0"), ("force", "1")])
def test_migrating_down_without_a_terminal_needs_confirmation_by_option(
    orchboard: Orchboard, database_url: str, words: tuple[str, ...]
) -> None:
    done = orchboard("migrate", *words, POSTGRES=database_url)
    assert (done.status, done.out) == (1, "")
    assert "use --yes" in done.err
    assert orchboard("migrate", "version", POSTGRES=database_url).out == f"{LATEST} of {LATEST}\n"


@pytest.mark.parametrize(("answer", "version"), [(b"y\n", LATEST - 1), (b"\n", LATEST), (b"\x04", LATEST)])
def test_on_a_terminal_it_asks(
    orchboard: Orchboard, database_url: str, tmp_path: Path, answer: bytes, version: int
) -> None:
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "orchboard", "migrate", "down"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(tmp_path, POSTGRES=database_url),
    )
    os.write(ours, answer)
    out, err = program.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)
    assert b"Traceback" not in err
    assert f"from version {LATEST} to {LATEST - 1}? [y/N]".encode() in out + err
    assert orchboard("migrate", "version", POSTGRES=database_url).out == f"{version} of {LATEST}\n"


def test_a_dirty_schema_is_refused_with_the_way_out(orchboard: Orchboard, database_url: str) -> None:
    orchboard("psql", "-c", "UPDATE schema_migrations SET dirty = true", POSTGRES=database_url)
    stuck = orchboard("migrate", "down", "--yes", POSTGRES=database_url)
    assert stuck.status == 3
    assert "orchboard migrate force" in stuck.err
    assert orchboard("migrate", "force", str(LATEST), "--yes", POSTGRES=database_url).status == 0
    assert orchboard("migrate", "version", POSTGRES=database_url).out == f"{LATEST} of {LATEST}\n"


def test_a_version_that_is_none_is_refused(orchboard: Orchboard, database_url: str) -> None:
    done = orchboard("migrate", "goto", "99", POSTGRES=database_url)
    assert (done.status, done.out) == (3, "")
    assert "there is no migration 99" in done.err


def test_a_missing_database_is_made(orchboard: Orchboard, empty_database: str) -> None:
    url = empty_database.replace("@/", "@/made_")
    try:
        assert orchboard("migrate", "up", POSTGRES=url).out.startswith("created the database\n")
    finally:
        made = url.partition("@/")[2].partition("?")[0]
        orchboard("psql", "-c", f'DROP DATABASE "{made}"', POSTGRES=empty_database)


def test_new_files_are_made_where_asked(orchboard: Orchboard, tmp_path: Path) -> None:
    done = orchboard("migrate", "new", "Index for old results", "--directory", str(tmp_path))
    assert [Path(line).name for line in done.out.splitlines()] == [
        "1_index_for_old_results.up.sql",
        "1_index_for_old_results.down.sql",
    ]
