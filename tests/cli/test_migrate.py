import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from orchboard.store.migration_files import load_migrations
from tests.cli.conftest import Orchboard, environment

LATEST = len(load_migrations())


def test_the_schema_moves_and_each_step_is_told(orchboard: Orchboard, empty_database: str) -> None:
    up = orchboard("migrate", "up", POSTGRES=empty_database)
    *steps, last = up.out.splitlines()
    assert [step.split()[:2] for step in steps] == [[str(n), "up"] for n in range(1, LATEST + 1)]
    assert all(step.endswith(" s") for step in steps)
    assert last == f"the schema is at version {LATEST}"
    again = orchboard("migrate", "up", POSTGRES=empty_database)
    assert again.out == f"the schema is at version {LATEST} already\n"
    down = orchboard("migrate", "down", "2", "--yes", POSTGRES=empty_database)
    assert down.out.endswith(f"the schema is at version {LATEST - 2}\n")
    goto = orchboard("migrate", "goto", "3", "--yes", POSTGRES=empty_database)
    assert goto.out.splitlines()[-1].startswith("the schema is at version 3")
    version = orchboard("migrate", "version", "--json", POSTGRES=empty_database)
    assert version.json() == {"version": 3, "dirty": False, "latest": LATEST}


@pytest.mark.parametrize("words", [("down",), ("goto", "0"), ("force", "1")])
def test_where_nobody_can_be_asked_nothing_is_taken_back(
    orchboard: Orchboard, database_url: str, words: tuple[str, ...]
) -> None:
    done = orchboard("migrate", *words, POSTGRES=database_url)
    assert (done.status, done.out) == (1, "")
    assert "say --yes" in done.err
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
        assert orchboard("migrate", "up", POSTGRES=url).out.startswith(
            "the database was missing and is made\n"
        )
    finally:
        made = url.partition("@/")[2].partition("?")[0]
        orchboard("psql", "-c", f'DROP DATABASE "{made}"', POSTGRES=empty_database)


def test_new_files_are_made_where_asked(orchboard: Orchboard, tmp_path: Path) -> None:
    done = orchboard("migrate", "new", "Index for old results", "--directory", str(tmp_path))
    assert [Path(line).name for line in done.out.splitlines()] == [
        "1_index_for_old_results.up.sql",
        "1_index_for_old_results.down.sql",
    ]
