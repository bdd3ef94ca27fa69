"""orchboard url and psql"""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from orchboard.postgres_url import without_password
from tests.support.program import Orchboard, environment
from tests.support.server import SECRET
from tests.support.temporary_directories import reachable_directory


@pytest.mark.parametrize(
    ("url", "bare", "password"),
    [
        ("postgresql://u:p%40ss@h:5/d?sslmode=require", "postgresql://u@h:5/d?sslmode=require", "p@ss"),
        ("postgresql://u:p@/d?host=/a&port=1", "postgresql://u@/d?host=/a&port=1", "p"),
        ("postgres://u@a:1,b:2/d?password=p%26q", "postgres://u@a:1,b:2/d", "p&q"),
        ("postgresql:///d", "postgresql:///d", ""),
        ("postgresql://u:p#q?r@h/d?sslm%6Fde=allow", "postgresql://u@h/d?sslm%6Fde=allow", "p#q?r"),
        (
            "postgresql://h/d?p%61ssword=p&sslpassword=q&oauth_client_secret=r&scram_client_key=s",
            "postgresql://h/d",
            "p",
        ),
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


@pytest.mark.parametrize("command", ["serve", "doctor", "backup", "migrate"])
def test_a_parameter_that_libpq_does_not_know_stops_every_command_by_name(
    orchboard: Orchboard, command: str, tmp_path: Path
) -> None:
    arguments = {"backup": [str(tmp_path / "file")], "migrate": ["up"]}.get(command, [])
    done = orchboard(command, *arguments, POSTGRES="postgresql://u:hush@127.0.0.1:1/d?search_path=board")
    assert done.status == (1 if command == "doctor" else 3)
    assert (
        "POSTGRES can't be read" in done.out + done.err
        and "'search_path' is not known" in done.out + done.err
    )
    assert "hush" not in done.out + done.err


def test_a_service_file_that_cannot_be_read_stops_the_server_without_showing_a_password(
    orchboard: Orchboard, tmp_path: Path
) -> None:
    (tmp_path / ".pg_service.conf").write_text("[board]\npassword=50%hush\nconnect_timeout=soon\n")
    done = orchboard("serve", POSTGRES="postgresql://?service=board")
    assert (done.status, done.out) == (3, "")
    assert "The service 'board' can't be read: connect_timeout must be a whole number" in done.err
    assert "hush" not in done.err


def test_a_server_says_in_its_log_which_parameters_it_ignores_and_doctor_too(
    orchboard: Orchboard, database_url: str, tmp_path: Path
) -> None:
    url = f"{database_url}&channel_binding=require&sslsni=0"
    with subprocess.Popen(
        [sys.executable, "-m", "orchboard", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(tmp_path, SECRET=SECRET, POSTGRES=url),
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()
        server.terminate()
        _, said = server.communicate(timeout=20)
    lines = [json.loads(line) for line in said.splitlines() if b"connection parameter ignored" in line]
    assert [line["parameter"] for line in lines] == ["channel_binding", "sslsni"]
    assert lines[0]["level"] == "warning" and lines[0]["reason"].startswith("not enforced")
    findings = orchboard("doctor", "--json", POSTGRES=url, PORT="0").json()["findings"]
    said_of = [finding["says"].split()[0] for finding in findings if finding["about"] == "connection"]
    assert said_of == ["channel_binding", "sslsni"]


def test_the_embedded_database_does_not_heed_variables_about_another_one(orchboard: Orchboard) -> None:
    variables = {
        "PGSERVICE": "nosuch", "PGHOSTADDR": "127.0.0.1", "PGTARGETSESSIONATTRS": "standby", "PGSSLMODE": "nonsense",
        "PGOPTIONS": "-c nonsense=1",
    }  # fmt: skip
    with reachable_directory() as place:
        variables["ORCHBOARD_DATA"] = str(place / "data")
        done = orchboard("region", "list", **variables)
        assert (done.status, done.err) == (0, "")
        assert orchboard("psql", "-Atc", "select 1", **variables).out == "1\n"
