"""Several processes share an embedded Postgres; processes are killed and frozen; files of earlier processes remain."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import orchboard
from orchboard.store.embedded import server as embedded
from orchboard.store.embedded.paths import SOCKET, Cluster, postgres_account
from orchboard.store.embedded.server import EmbeddedPostgres
from tests.support.embedded_clusters import MAJOR, Start, eventually, fetch_value, needs_linux, pid_of
from tests.support.processes import frozen

# Another orchboard process: starts, says its postmaster's pid and the URL, stops when its input ends.
OTHER = """
import sys
from pathlib import Path
from orchboard.store.embedded.server import EmbeddedPostgres
server = EmbeddedPostgres.start(Path(sys.argv[1]))
print((server.directory / "postmaster.pid").read_text().split()[0], server.url, flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture
def other() -> Iterator[Callable[[Path], "subprocess.Popen[str]"]]:
    """Starts OTHER; all are stopped at the test's end."""
    others: list[subprocess.Popen[str]] = []

    def begin(data: Path) -> "subprocess.Popen[str]":
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(orchboard.__file__).parents[1]), *sys.path]),
        }
        others.append(
            subprocess.Popen(
                [sys.executable, "-c", OTHER, data], env=environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
        return others[-1]

    yield begin
    for process in others:
        process.communicate(timeout=20)


def processes_in(directory: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == directory:
                found.append(int(process.name))
        except OSError:
            continue
    return found


def postmasters_in(directory: Path) -> list[int]:
    """A postmaster is the one that still has the directory on its command line."""
    found = []
    for pid in processes_in(directory):
        with contextlib.suppress(OSError):  # a backend may have ended since
            if os.fsencode(directory) in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


@pytest.fixture
def bystander(data: Path) -> Iterator[int]:
    """The pid of a living process of Postgres's user that has nothing to do with Postgres."""
    account = postgres_account(Cluster(data, MAJOR))
    rights = {"user": account.uid, "group": account.gid, "extra_groups": []} if os.geteuid() == 0 else {}
    process = subprocess.Popen(["sleep", "60"], **rights)  # type: ignore[call-overload] # mypy can't see the keys
    yield process.pid
    assert process.poll() is None, "the bystander was killed"
    process.kill()
    process.wait()


def test_a_second_process_attaches_and_stops_nothing(data: Path, start: Start) -> None:
    first, second = start(data), start(data)
    assert second.url == first.url
    second.stop()
    second.stop()
    assert fetch_value(first.url, "select 1") == 1


@needs_linux
def test_six_starts_at_once_make_one_postmaster(base: Path, other: Any) -> None:
    answers = [process.stdout.readline() for process in [other(base / "data") for _ in range(6)]]
    assert answers[0] and len(set(answers)) == 1
    assert postmasters_in(base / "data" / f"pg{MAJOR}") == [int(answers[0].split()[0])]


DEAF_ONCE = """
import signal
import stat
signal.signal(signal.SIGINT, lambda *_: signal.signal(signal.SIGINT, signal.SIG_DFL))
print("ready", flush=True)
while True:
    signal.pause()
"""


def test_a_signal_that_is_lost_is_sent_again() -> None:
    with subprocess.Popen([sys.executable, "-c", DEAF_ONCE], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert embedded._ends_by(process, signal.SIGINT, 30)
        assert process.returncode == -signal.SIGINT


@needs_linux
def test_a_frozen_one_is_stopped_soon_and_recovered_at_the_next_start(data: Path, start: Start) -> None:
    postgres = start(data)
    fetch_value(postgres.url, "create table kept as select 7 as number")
    with frozen(pid_of(data)):
        began_at = time.monotonic()
        postgres.stop()
        assert time.monotonic() - began_at < 10
    # Now its children go on, and see that it is gone.
    assert fetch_value(start(data).url, "select number from kept") == 7


def test_another_process_takes_over_when_the_owner_leaves(
    data: Path, start: Start, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.embedded.server.RETRY_INTERVAL_S", 60.0)
    owner = other(data)
    before = int(owner.stdout.readline().split()[0])
    attached = start(data, watch=True)
    assert pid_of(data) == before
    owner.stdin.close()
    owner.stdin = None
    owner.wait(10)
    # 0.3 s on a quiet machine; a watcher that failed tries again after 60 s
    assert eventually(lambda: fetch_value(attached.url, "select 1"), seconds=30) == 1
    assert pid_of(data) != before


@needs_linux
def test_only_postgres_holds_the_lock(running: EmbeddedPostgres) -> None:
    lock = Cluster(running.directory.parent, MAJOR).lock

    def holds(pid: int | str) -> bool:
        links = Path(f"/proc/{pid}/fd").iterdir()
        return any(link.is_symlink() and os.readlink(link) == str(lock) for link in links)

    assert not holds("self")
    # A backend that is just leaving has closed its files already.
    eventually(lambda: all(holds(pid) for pid in processes_in(running.directory)))


@needs_linux
def test_a_postmaster_without_our_lock_is_joined_never_doubled(data: Path, start: Start) -> None:
    first = start(data)
    Cluster(data, MAJOR).lock.unlink()
    second = start(data)
    assert fetch_value(second.url, "select 1") == 1
    assert postmasters_in(first.directory) == [pid_of(data)]


def test_a_killed_postmaster_is_recovered_by_the_next_start(data: Path, start: Start) -> None:
    first = start(data)
    fetch_value(first.url, "create table kept as select 42 as number")
    os.kill(pid_of(data), signal.SIGKILL)
    assert fetch_value(start(data).url, "select number from kept") == 42


def test_a_killed_postmaster_is_started_again_by_its_owner(data: Path, start: Start) -> None:
    server = start(data, watch=True)
    before = pid_of(data)
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: fetch_value(server.url, "select 1") and pid_of(data) != before)


@needs_linux
def test_a_killed_owner_leaves_no_process_behind(data: Path, other: Any) -> None:
    owner = other(data)
    owner.stdout.readline()
    assert processes_in(data / f"pg{MAJOR}")
    owner.kill()
    eventually(lambda: not processes_in(data / f"pg{MAJOR}"))
    assert "fast shutdown" in Cluster(data, MAJOR).log.read_text()


def test_a_killed_first_start_leaves_no_partial_database(base: Path, start: Start, other: Any) -> None:
    data = base / "data"
    process = other(data)
    eventually(lambda: list(data.glob(f"pg{MAJOR}.new-*/cluster/PG_VERSION")))
    process.kill()
    assert not (data / f"pg{MAJOR}").exists()
    assert fetch_value(start(data).url, "select 1") == 1
    assert not list(data.glob("*.new-*"))


def test_a_stale_pid_file_with_a_reused_pid_is_ignored(data: Path, start: Start, bystander: int) -> None:
    cluster = Cluster(data, MAJOR)
    cluster.pid_file.write_text(f"{bystander}\n{cluster.directory}\n1700000000\n5432\n\n\n  1 1\nready\n")
    assert fetch_value(start(data).url, "select 1") == 1


def test_an_empty_pid_file_is_no_obstacle(data: Path, start: Start) -> None:
    Cluster(data, MAJOR).pid_file.touch()
    assert fetch_value(start(data).url, "select 1") == 1


def test_a_stale_socket_and_its_lock_file_are_no_obstacle(data: Path, start: Start, bystander: int) -> None:
    cluster = Cluster(data, MAJOR)
    socket = cluster.socket_directory / SOCKET
    socket.touch()
    socket.with_name(f"{SOCKET}.lock").write_text(f"{bystander}\n{cluster.directory}\n1700000000\n5432\n\n")
    assert fetch_value(start(data).url, "select 1") == 1


def test_stop_leaves_no_process_although_a_client_is_connected(data: Path, start: Start) -> None:
    server = start(data, watch=True)

    async def stop_while_connected() -> None:
        connection = await asyncpg.connect(server.url)
        await asyncio.to_thread(server.stop)
        connection.terminate()

    asyncio.run(stop_while_connected())
    assert not Cluster(data, MAJOR).pid_file.exists()
