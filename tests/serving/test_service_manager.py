"""A service manager is told in which state the server is, by systemd's protocol."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchboard.serving.service_manager import ServiceManager
from tests.support.processes import heed_sighup
from tests.support.server import SECRET


class Messages:
    """What was sent to a datagram socket, in order."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.settimeout(30)

    def wait_for(self, first: str) -> list[str]:
        """The lines of the next message that does not only say that the server is alive; it must begin with `first`."""
        while (lines := self._end.recv(4096).decode().split("\n")) == ["WATCHDOG=1"]:
            pass
        assert lines[0] == first
        return lines

    def wait_for_a_pulse(self) -> None:
        assert self._end.recv(4096) == b"WATCHDOG=1"


@contextmanager
def managed(
    database_url: str, place: Path, workers: int
) -> Iterator[tuple["subprocess.Popen[bytes]", Messages]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(place / "notify"))
        variables = {
            "NOTIFY_SOCKET": str(place / "notify"), "POSTGRES": database_url, "SECRET": SECRET,
            "ORCHBOARD_DATA": str(place / "data"), "PORT": "0", "WORKERS": str(workers),
        }  # fmt: skip
        program = subprocess.Popen(
            [sys.executable, "-m", "orchboard", "serve"], env={**os.environ, **variables},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=heed_sighup,
        )  # fmt: skip
        try:
            yield program, Messages(end)
        finally:
            program.kill()
            program.wait()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_service_manager_is_notified_of_start_restart_and_stop(
    database_url: str, tmp_path: Path, workers: int
) -> None:
    with managed(database_url, tmp_path, workers) as (program, messages):
        [_, status] = messages.wait_for("READY=1")
        assert status.startswith("STATUS=serving on http://127.0.0.1:")
        messages.wait_for_a_pulse()
        program.send_signal(signal.SIGHUP)
        [_, clock, _] = messages.wait_for("RELOADING=1")
        assert clock.startswith("MONOTONIC_USEC=")
        assert messages.wait_for("READY=1")[1] == status
        program.send_signal(signal.SIGTERM)
        messages.wait_for("STOPPING=1")
        assert program.wait(30) == 0


def test_an_abstract_socket_is_a_service_manager_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0orchboard-test-" + str(os.getpid()))
        ServiceManager({"NOTIFY_SOCKET": f"@orchboard-test-{os.getpid()}"}).alive()
        Messages(end).wait_for_a_pulse()


def test_a_service_manager_that_is_gone_or_does_not_read_stops_nothing(tmp_path: Path) -> None:
    ServiceManager({}).alive()
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).alive()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "full"))
        for _ in range(1000):
            ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "full")}).alive()
