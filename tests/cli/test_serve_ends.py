"""orchboard serve, as a process: how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.program import environment
from tests.support.temporary_directories import reachable_directory


@contextmanager
def serving(data: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server with its embedded database, and its port."""
    command = [sys.executable, "-m", "orchboard", "serve", "--port", "0", *flags]
    environment = {**os.environ, "ORCHBOARD_DATA": str(data), "SECRET": "testsecret", "POSTGRES": ""}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r":([0-9]+)$", process.stdout.readline().strip())
            assert found is not None
            yield process, int(found[1])
        finally:
            process.kill()


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def is_served(port: int) -> bool:
    """Whether a worker answers; the port is open before that."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            return connection.recv(12) == b"HTTP/1.1 200"
    except OSError:
        return False


def test_sigterm_stops_the_embedded_database_before_the_server_ends() -> None:
    with reachable_directory() as place, serving(place / "data") as (process, port):
        deadline = time.monotonic() + 10
        while not answers(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        assert not list((place / "data").glob("pg*/postmaster.pid"))


# The exception that the signal raises is lost where it comes.
TOLD_IN_A_CALLBACK = """
import os, signal, sys, weakref
from orchboard.cli import run_server, serve_banner

class Thing: pass

def tell(*_, **__):
    thing = Thing()
    told = weakref.ref(thing, lambda _: os.kill(os.getpid(), int(sys.argv[2])))
    del thing
    print("goes on", flush=True)

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may have it ignored
serve_banner.print_banner = tell
run_server.run_server(port=0, workers=int(sys.argv[1]))
print("ended", flush=True)
"""


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_stop_signals_work_where_no_exception_can_propagate(
    database_url: str, tmp_path: Path, workers: str, told: signal.Signals
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TOLD_IN_A_CALLBACK, workers, str(int(told))],
        env=environment(tmp_path, SECRET="testsecret", POSTGRES=database_url),
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (ended.stdout, ended.returncode) == ("goes on\nended\n", 0), ended.stderr


def test_the_workers_of_a_killed_server_end_and_free_its_port() -> None:
    with reachable_directory() as place, serving(place / "data", "--workers", "2") as (process, port):
        deadline = time.monotonic() + 20
        while not is_served(port):  # the workers start after the address is printed
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while answers(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not answers(port)
