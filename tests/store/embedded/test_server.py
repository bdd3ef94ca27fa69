"""The embedded Postgres with real processes: start, settings, URL and socket."""

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from orchboard.errors import SetupError
from orchboard.store.embedded.binaries import find_binaries
from orchboard.store.embedded.paths import SOCKET, Cluster
from orchboard.store.embedded.postmaster_status import LOG_BYTES, rotate_log
from orchboard.store.embedded.server import EmbeddedPostgres, existing_url
from tests.support.embedded_clusters import (
    MAJOR,
    Start,
    copy_of,
    eventually,
    fetch_value,
    needs_linux,
    pid_of,
)

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


def test_a_first_start_makes_a_database_that_answers(base: Path, start: Start) -> None:
    server = start(base / "made" / "data")
    assert server.directory == base / "made" / "data" / f"pg{MAJOR}"
    assert (
        fetch_value(server.url, "select current_database() || ' ' || current_user") == "orchboard orchboard"
    )
    assert fetch_value(server.url, "show server_encoding") == "UTF8"
    assert fetch_value(server.url, "select 'É' ~* 'é'")
    assert existing_url(base / "made" / "data") == server.url


def test_a_second_start_finds_what_the_first_stored(data: Path, start: Start) -> None:
    first = start(data)
    fetch_value(first.url, "create table kept as select 42 as number")
    first.stop()
    assert fetch_value(start(data).url, "select number from kept") == 42


def test_fsync_and_checksums_are_on(running: EmbeddedPostgres) -> None:
    assert [
        fetch_value(running.url, f"show {name}") for name in ("fsync", "full_page_writes", "data_checksums")
    ] == ["on"] * 3


def test_hot_queries_are_planned_for_their_parameters(running: EmbeddedPostgres) -> None:
    assert fetch_value(running.url, "show plan_cache_mode") == "force_custom_plan"


@needs_linux
def test_no_tcp_port_is_opened(running: EmbeddedPostgres) -> None:
    links = list(Path(f"/proc/{pid_of(running.directory.parent)}/fd").iterdir())
    sockets = {name[8:-1] for name in (str(link.readlink()) for link in links) if name.startswith("socket:[")}
    tcp = {
        line.split()[9]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    }
    assert fetch_value(running.url, "show listen_addresses") == ""
    assert sockets and not sockets & tcp


def test_only_its_owner_can_read_the_password_or_reach_the_socket(running: EmbeddedPostgres) -> None:
    assert (running.directory / "orchboard.password").stat().st_mode & 0o777 == 0o600
    assert (running.directory / SOCKET).exists()
    assert running.directory.stat().st_mode & 0o777 == 0o700
    with pytest.raises(asyncpg.InvalidPasswordError):
        fetch_value(running.url.replace("orchboard:", "orchboard:x"), "select 1")


def test_the_url_of_a_path_with_a_space_is_good_for_the_driver_and_psql(
    base: Path, template: Path, start: Start
) -> None:
    server = start(copy_of(template, base / "results of 2026"))
    assert fetch_value(server.url, "select 1") == 1
    psql = [str(find_binaries(None).directory / "psql"), "-X", "-A", "-t", "-c", "select 2", server.url]
    assert subprocess.run(psql, check=True, capture_output=True, text=True).stdout == "2\n"


@pytest.mark.parametrize("name", ["x" * 120, "a,b"])
def test_a_path_that_no_socket_can_have_gets_a_short_one(
    base: Path, template: Path, start: Start, name: str
) -> None:
    server = start(copy_of(template, base / name))
    stand_in = Path(parse_qs(urlsplit(server.url).query)["host"][0])
    try:
        assert stand_in.parent == Path("/tmp")
        assert stand_in.stat().st_mode & 0o777 == 0o700
        assert fetch_value(server.url, "select 1") == 1
    finally:
        server.stop()
        shutil.rmtree(stand_in)


def test_a_cluster_whose_socket_directory_was_removed_answers_again(
    base: Path, template: Path, start: Start
) -> None:
    server = start(copy_of(template, base / ("x" * 120)), watch=True)
    stand_in = Path(parse_qs(urlsplit(server.url).query)["host"][0])
    try:
        shutil.rmtree(stand_in)
        assert eventually(lambda: fetch_value(server.url, "select 1") == 1)
    finally:
        server.stop()
        shutil.rmtree(stand_in, ignore_errors=True)


def test_a_short_socket_directory_that_others_can_enter_is_refused(
    base: Path, template: Path, start: Start
) -> None:
    data = copy_of(template, base / ("x" * 120))
    stand_in = Cluster(data, MAJOR).socket_directory
    stand_in.mkdir()
    stand_in.chmod(0o755)
    try:
        with pytest.raises(SetupError, match=str(stand_in)):
            start(data)
    finally:
        stand_in.rmdir()


def test_a_language_that_is_not_installed_does_no_harm(
    base: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "LANG": "xx_XX.UTF-8",
        "LC_ALL": "xx_XX.UTF-8",
        "PGPORT": "1",
        "PGHOST": "nowhere",
    }.items():
        monkeypatch.setenv(name, value)
    assert fetch_value(start(base / "data").url, "select 1") == 1


@pytest.mark.skipif(not DEBIAN_15.exists(), reason="Debian's PostgreSQL 15 is not here")
def test_other_programs_of_postgres_15_can_be_used(base: Path, start: Start) -> None:
    server = start(base / "data", postgres_bin=DEBIAN_15)
    assert server.directory.name == "pg15"
    assert fetch_value(server.url, "show server_version_num").startswith("15")


def test_the_log_does_not_grow_without_bound(data: Path, start: Start) -> None:
    server = start(data)
    log = Cluster(data, MAJOR).log
    os.truncate(log, LOG_BYTES + 1)
    rotate_log(Cluster(data, MAJOR))
    assert log.stat().st_size == 0
    assert log.with_name(f"{log.name}.1").stat().st_size == LOG_BYTES + 1
    with pytest.raises(asyncpg.PostgresError):
        fetch_value(server.url, "select misspelt")
    assert "misspelt" in log.read_text()
    assert log.stat().st_size < 10_000
