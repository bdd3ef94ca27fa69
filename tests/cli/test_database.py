"""orchboard url and psql"""

import os
import stat
from pathlib import Path

import pytest

from orchboard.postgres_url import without_password
from tests.cli.conftest import Orchboard


@pytest.mark.parametrize(
    ("url", "bare", "password"),
    [
        ("postgresql://u:p%40ss@h:5/d?sslmode=require", "postgresql://u@h:5/d?sslmode=require", "p@ss"),
        ("postgresql://u:p@/d?host=/a&port=1", "postgresql://u@/d?host=/a&port=1", "p"),
        ("postgres://u@a:1,b:2/d?password=p%26q", "postgres://u@a:1,b:2/d", "p&q"),
        ("postgresql:///d", "postgresql:///d", ""),
    ],
)
def test_a_password_is_taken_out_of_a_url(url: str, bare: str, password: str) -> None:
    assert without_password(url) == (bare, password)


def test_the_url_is_printed_and_its_password_can_be_hidden(orchboard: Orchboard, database_url: str) -> None:
    assert orchboard("url", POSTGRES=database_url).out == f"{database_url}\n"
    _, password = without_password(database_url)
    hidden = orchboard("url", "--hide-password", POSTGRES=database_url).out
    assert password not in hidden
    assert ":***@" in hidden


def test_without_a_database_there_is_no_url(orchboard: Orchboard) -> None:
    done = orchboard("url")
    assert (done.status, done.out) == (3, "")
    assert "there is no database yet" in done.err


def test_psql_asks_the_database_and_its_exit_status_is_passed_on(
    orchboard: Orchboard, database_url: str
) -> None:
    done = orchboard("psql", "-Atc", "select count(*) > 20 from regions", POSTGRES=database_url)
    assert (done.status, done.out) == (0, "t\n")
    assert (
        orchboard("psql", "-v", "ON_ERROR_STOP=1", POSTGRES=database_url, stdin=b"select nonsense;").status
        == 3
    )


def test_the_password_is_not_on_psqls_command_line(
    orchboard: Orchboard, tmp_path: Path, database_url: str
) -> None:
    program = tmp_path / "bin" / "psql"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\necho "$PGPASSWORD"\n')
    program.chmod(stat.S_IRWXU)
    path = f"{program.parent}:{os.environ['PATH']}"
    done = orchboard(
        "psql", "-c", "x", POSTGRES="postgresql://u:hush@h/d", POSTGRES_BIN="/nowhere", PATH=path
    )
    assert done.out == "-c x postgresql://u@h/d\nhush\n"
