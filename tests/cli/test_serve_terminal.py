"""orchboard serve in a terminal: closed, it ends the server; SIGHUP alone restarts it."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3

from tests.support.processes import heed_sighup
from tests.support.program import environment
from tests.support.server import SECRET

# Takes the terminal as its own, as a shell in a new window has it; then becomes the server.
IN_A_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
os.execvp(sys.argv[2], sys.argv[2:])
"""


class InATerminal:
    """A server in a pseudo-terminal; `close` is what closing the window does."""

    def __init__(self, home: Path, database_url: str, *, workers: str, prefix: tuple[str, ...]) -> None:
        self._ours, theirs = pty.openpty()
        self._said = home / "said"
        command = [*prefix, sys.executable, "-m", "orchboard", "serve", "--port", "0", "--workers", workers]
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-c", IN_A_TERMINAL, str(theirs), *command],
                env=environment(home, POSTGRES=database_url, SECRET=SECRET),
                stdin=subprocess.DEVNULL,  # a redirection does not untie a program from its terminal
                stdout=said,
                stderr=theirs,
                pass_fds=(theirs,),
                preexec_fn=heed_sighup,
            )
        os.close(theirs)
        os.set_blocking(self._ours, False)
        wait_for(lambda: b"a first result" in self._said.read_bytes())
        found = re.search(r"http://\S+", self._said.read_text())
        assert found
        self.url = found[0]
        wait_for(self.serves)

    def serves(self) -> bool:
        """Whether it answers."""
        self._drain()
        try:
            return urllib3.request("GET", f"{self.url}/healthz", retries=False, timeout=2).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def close(self) -> None:
        """Close the window."""
        if self._ours >= 0:
            os.close(self._ours)
        self._ours = -1

    def banners(self) -> int:
        """How often it started."""
        self._drain()
        return self._said.read_bytes().count(b"orchboard is at")

    def _drain(self) -> None:
        while self._ours >= 0:
            try:
                os.read(self._ours, 65536)
            except BlockingIOError:
                return


def wait_for(is_so: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


Start = Callable[..., InATerminal]


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Iterator[Start]:
    running: list[InATerminal] = []

    def begin(*, workers: str = "1", prefix: tuple[str, ...] = ()) -> InATerminal:
        running.append(InATerminal(tmp_path, database_url, workers=workers, prefix=prefix))
        return running[-1]

    yield begin
    for one in running:
        one.process.kill()
        one.process.wait()
        one.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_ends_when_its_terminal_is_closed(start: Start, workers: str) -> None:
    server = start(workers=workers)
    server.close()
    assert server.process.wait(20) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_terminal_that_sends_sighup_before_it_closes_ends_the_server(start: Start, workers: str) -> None:
    """As xterm does: at the moment of the signal the terminal is still there."""
    server = start(workers=workers)
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.05)
    server.close()
    assert server.process.wait(30) == 0


def test_sighup_restarts_a_server_in_a_terminal_which_still_ends_it(start: Start) -> None:
    server = start()
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: server.banners() == 2)
    wait_for(server.serves)
    server.close()
    assert server.process.wait(20) == 0


def test_nohup_keeps_a_server_after_its_terminal(start: Start) -> None:
    server = start(prefix=("nohup",))
    server.close()
    time.sleep(0.5)  # what would end it comes at once
    wait_for(server.serves)
    assert server.process.poll() is None
