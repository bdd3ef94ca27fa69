"""`orchboard serve` as a process with its own embedded database, which can be killed and started again."""

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from chaos.http_client import Failure, ask_once, get

SECRET = "a secret of the proofs"

_START_LIMIT_S = 120.0
_STOP_LIMIT_S = 20.0
_POLL_S = 0.02

_PR_SET_PDEATHSIG = 1


class NotServingError(Exception):
    """The server ended or was not healthy in time. The message contains the end of its log."""


class ServerProcess:
    """A server on a local port, with its data in a directory.

    Its child processes are in its process group, except Postgres, which ends with the process that started it.

    listener -- a listening socket for the server, which outlives it; None: the server opens a port
    variables -- additional environment variables
    """

    def __init__(
        self,
        directory: Path,
        *,
        listener: socket.socket | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)  # root's Postgres runs as another user
        self.data = directory / "data"
        self.log = directory / "serve.log"
        self.port: int = listener.getsockname()[1] if listener else free_port()
        self._listener = listener
        self._variables = {
            "PATH": os.environ["PATH"], "HOME": str(directory), "ORCHBOARD_DATA": str(self.data),
            "SECRET": SECRET, "LOG_LEVEL": "warn", **(variables or {}),
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of the last started process."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Start the process without waiting for it."""
        flags, inherited = ["--port", str(self.port)], list[int]()
        if self._listener is not None:
            inherited = [self._listener.fileno()]
            flags = ["--fd", str(inherited[0])]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "orchboard", "serve", *flags],
                env=self._variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=inherited,
                start_new_session=True, preexec_fn=_end_with_parent,
            )  # fmt: skip

    async def wait_until_healthy(self) -> None:
        """Wait until /api/health is 200. Raises NotServingError."""
        deadline = time.monotonic() + _START_LIMIT_S
        while True:
            with suppress(Failure):
                if (await ask_once(self.port, get("/api/health"))).status == 200:
                    return
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise NotServingError(self.log_tail())
            await asyncio.sleep(_POLL_S)

    def send_signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    async def wait_until_ended(self) -> int:
        """Wait for the end, at most _STOP_LIMIT_S; the exit code. Raises NotServingError."""
        assert self._process is not None, "not started"
        deadline = time.monotonic() + _STOP_LIMIT_S
        while (code := self._process.poll()) is None:
            if time.monotonic() > deadline:
                raise NotServingError(f"did not end within {_STOP_LIMIT_S:.0f} s: {self.log_tail()}")
            await asyncio.sleep(_POLL_S)
        return code

    def workers(self) -> Sequence[int]:
        """The pids of the worker processes."""
        found = []
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            with suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
        return found

    def postmaster(self) -> int | None:
        """The pid of the embedded Postgres; None if there is none."""
        with suppress(OSError, ValueError, IndexError):
            [file] = self.data.glob("pg*/postmaster.pid")
            return int(file.read_text().splitlines()[0])
        return None

    def log_tail(self) -> str:
        """The end of the log."""
        with suppress(OSError):
            return self.log.read_text(errors="replace")[-2000:].strip()
        return ""

    def stop(self) -> None:
        """Stop the server. Kills its process group if it does not end in time."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_LIMIT_S)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def running(
    directory: Path, *, listener: socket.socket | None = None, **variables: str
) -> Iterator[ServerProcess]:
    """A started server, which is stopped after the block."""
    program = ServerProcess(directory, listener=listener, variables=variables)
    try:
        program.start()
        yield program
    finally:
        program.stop()


def free_port() -> int:
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _end_with_parent() -> None:
    """In the child: ask for SIGTERM when the parent ends. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
