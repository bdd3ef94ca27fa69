"""A server as process 1 of a container, which here is a PID namespace."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3
from msgspec import Struct

from tests.support.processes import children_of
from tests.support.program import environment
from tests.support.server import SECRET
from tests.support.temporary_directories import reachable_directory

_UNSHARE = [
    shutil.which("unshare") or "unshare",
    *([] if os.geteuid() == 0 else ["--map-root-user"]),
    *("--pid", "--fork", "--kill-child", "--mount-proc"),
]

pytestmark = pytest.mark.skipif(
    subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode != 0,
    reason="no PID namespace can be made here",
)


class Container(Struct):
    """A server and the namespace's process 1, by the pid that it has outside."""

    outer: "subprocess.Popen[bytes]"
    init: int
    url: str
    data: Path

    def is_well(self) -> bool:
        try:
            return urllib3.request("GET", f"{self.url}/api/health", retries=False, timeout=5).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def defunct(self) -> list[str]:
        listed = subprocess.run(
            ["ps", "--ppid", str(self.init), "-o", "stat=,comm="], capture_output=True, text=True
        )
        return [line for line in listed.stdout.splitlines() if line.startswith("Z")]


@contextmanager
def container(*arguments: str) -> Iterator[Container]:
    with reachable_directory() as place:
        outer = subprocess.Popen(
            [*_UNSHARE, sys.executable, "-m", "orchboard", "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            env=environment(place, SECRET=SECRET, LOG_LEVEL="error"),
        )
        try:
            assert outer.stdout is not None
            url = outer.stdout.readline().decode().split()[-1]
            [init] = children_of(outer.pid)
            yield Container(outer, init, url, place / "data")
        finally:
            outer.kill()  # and the namespace with it
            outer.communicate()


def _until(condition: Callable[[], bool], limit_s: float = 20) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("workers", ["1", "2"])
def test_orphans_of_a_crashed_postgres_are_reaped(workers: str) -> None:
    with container("--workers", workers) as running:
        [server] = children_of(running.init)
        [postmaster] = [pid for pid in children_of(server) if _name(pid) == "postgres"]
        orphans = children_of(postmaster)
        assert len(orphans) > 3
        os.kill(postmaster, signal.SIGKILL)
        assert _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans)), running.defunct()
        assert _until(running.is_well)
        assert running.defunct() == []


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_signals_reach_the_server_and_its_exit_status_is_passed_on() -> None:
    with container() as running:
        [server] = children_of(running.init)
        os.kill(running.init, signal.SIGHUP)  # starts again, as the same process
        assert _until(running.is_well)
        assert children_of(running.init) == [server]
        os.kill(running.init, signal.SIGTERM)
        assert running.outer.wait(20) == 0
    with container() as running:
        [server] = children_of(running.init)
        os.kill(server, signal.SIGKILL)
        assert running.outer.wait(20) == 128 + signal.SIGKILL


def test_a_socket_that_is_handed_to_process_1_is_the_servers() -> None:
    program = (
        "import os, socket, sys; listener = socket.create_server(('127.0.0.1', 0)); os.dup2(listener.fileno(), 3); os.set_inheritable(3, True); "
        "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}; "
        "os.execv(sys.executable, [sys.executable, '-m', 'orchboard', 'serve', '--port', '1'])"
    )
    with reachable_directory() as place:
        outer = subprocess.Popen(
            [*_UNSHARE, sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            env=environment(place, SECRET=SECRET, LOG_LEVEL="error"),
        )
        try:
            assert outer.stdout is not None
            url = outer.stdout.readline().decode().split()[-1]
            answer = urllib3.request("GET", f"{url}/api/regions", retries=False, timeout=5)
            assert json.loads(answer.data)["regions"]
            [init] = children_of(outer.pid)
            os.kill(init, signal.SIGTERM)
            assert outer.wait(20) == 0
        finally:
            outer.kill()
            outer.communicate()
