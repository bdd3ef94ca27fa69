"""The processes of the binary: how they end, restart and change version; where the one-file program unpacks itself."""

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.artefacts.binaries import DIRECTORY, ONE_FILE, PLACES, Machine, executable, machine
from tests.support.samples import transcoding
from tests.support.server import SECRET, Client
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", params=PLACES, ids="-".join)
def debian(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with machine(*request.param) as made:
        yield made


def install_next_version(debian: Machine) -> str:
    """Put another version in the place of the one-file program; how the directory is named that it unpacks itself to."""
    program = debian.root.directory / ONE_FILE[1:]
    found = re.search(rb"/(orchboard-[0-9.]+)-[0-9a-f]{16}", program.read_bytes()[:4096])
    assert found
    version = found[1][:-1] + bytes([found[1][-1] + 1])  # as long as before
    other = program.with_name("other")
    other.write_bytes(program.read_bytes().replace(found[1] + b"-", version + b"-"))
    other.chmod(0o755)
    other.rename(program)
    return version.decode()


def workers(debian: Machine) -> set[int]:
    return {pid for pid, words in debian.processes().items() if "--multiprocessing-fork" in words}


def test_a_killed_server_leaves_nothing_running(debian: Machine) -> None:
    with debian.serving(ONE_FILE, "--generate-secret") as (server, _):
        assert any("/bin/postgres -D" in words for words in debian.processes().values())
        server.kill()
        server.wait()
    wait_until(lambda: not debian.processes())


def test_sighup_starts_the_version_that_was_installed_meanwhile(debian: Machine) -> None:
    with debian.serving(ONE_FILE, "--generate-secret", SECRET=SECRET) as (server, address):
        client = Client(address)
        assert client.post_stats(transcoding()).data == b"ok"
        following = install_next_version(debian)
        server.send_signal(signal.SIGHUP)
        wait_until(lambda: following in executable(server.pid))
        assert len(client.get("/api/aggregated_stats").json()) == 1
        assert client.post_stats(transcoding()).data == b"ok"
        server.send_signal(signal.SIGTERM)
        assert server.wait(15) == 0
    [unpacked] = debian.unpacked()
    assert unpacked.startswith(following)
    wait_until(lambda: not debian.processes())


def test_sighup_replaces_workers_by_a_newly_installed_version(
    debian: Machine, new_database: Callable[[], str]
) -> None:
    settings = {"POSTGRES": new_database(), "SECRET": SECRET, "WORKERS": "2"}
    with debian.serving(ONE_FILE, **settings) as (server, address):
        client = Client(address)
        assert client.post_stats(transcoding()).data == b"ok"
        before = workers(debian)
        assert len(before) == 2
        following = install_next_version(debian)
        server.send_signal(signal.SIGHUP)
        wait_until(lambda: len(workers(debian) - before) == 2 and not workers(debian) & before)
        assert all(following in executable(pid) for pid in workers(debian))
        assert len(debian.unpacked()) == 2  # the supervisor still runs the version before
        assert client.post_stats(transcoding()).data == b"ok"
        server.kill()
        server.wait()
    wait_until(lambda: not debian.processes())


@pytest.mark.parametrize("program", [ONE_FILE, DIRECTORY])
def test_a_restart_keeps_the_process_and_its_socket(
    debian: Machine, program: str, new_database: Callable[[], str]
) -> None:
    with debian.serving(program, POSTGRES=new_database(), SECRET=SECRET) as (server, address):
        client = Client(address)
        assert client.post_stats(transcoding()).data == b"ok"
        for _ in range(2):
            program_before = _program(server.pid)
            server.send_signal(signal.SIGHUP)
            wait_until(partial(_is_another, server.pid, program_before))
            assert client.post_stats(transcoding()).data == b"ok"
        assert list(debian.processes()) == [server.pid]


def _is_another(pid: int, program: bytes) -> bool:
    return _program(pid) != program


def _program(pid: int) -> bytes:
    """What the kernel told a process's program at its start: addresses that are others at each exec."""
    return Path(f"/proc/{pid}/auxv").read_bytes()


@pytest.mark.parametrize("tmp", ["noexec", "ro"])
def test_a_program_without_a_directory_to_unpack_reports_those_it_tried(debian: Machine, tmp: str) -> None:
    script = f"mount -t tmpfs -o {tmp} tmpfs /tmp && mount -t tmpfs -o ro tmpfs /var/cache && exec orchboard --version"
    command = debian.root.command("sh", "-c", script)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "Set XDG_CACHE_HOME" in done.stderr
    assert "/var/cache/orchboard: " in done.stderr
    assert "/tmp/orchboard-0: " in done.stderr
    assert ("noexec" if tmp == "noexec" else "Read-only file system") in done.stderr


def test_a_directory_of_another_user_is_not_trusted(debian: Machine) -> None:
    """Whoever makes /tmp/orchboard-ID first must not choose what runs."""
    script = "id=$(id -u someone); mkdir -p /tmp/orchboard-$id && su someone -c 'HOME=/ orchboard --version'; rm -r /tmp/orchboard-$id"
    command = debian.root.command("sh", "-c", script)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "belongs to another user" in done.stderr
    assert "Python" not in done.stdout


def test_starts_at_the_same_time_unpack_one_program(debian: Machine) -> None:
    script = "for i in 1 2 3; do HOME=/tmp/fresh XDG_CACHE_HOME=/tmp/fresh orchboard-slim --version & done; wait; ls /tmp/fresh/orchboard | wc -l; rm -r /tmp/fresh"
    said = debian.run("sh", "-c", script).splitlines()
    assert said.count("no embedded PostgreSQL") == 3
    assert said[-1] == "1"
