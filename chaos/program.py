"""`orchboard serve` as a real process with a separate data directory. It can be killed and restarted."""

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

from chaos.wire import Failure, ask_once, get

SECRET = "a secret of the proofs"

_START_LIMIT_S = 120.0
_STOP_LIMIT_S = 20.0
_POLL_S = 0.02

_PR_SET_PDEATHSIG = 1


class NotServingError(Exception):
    """The program ended or was not healthy in time. The message contains its last output."""


class Program:
    """A server on a local port, with its data below a directory.

    Its children are in its process group, except Postgres, which ends with the process that started it.

    listener -- a listening socket passed to the server, which outlives it; None: the server opens its port
    variables -- additional environment variables; nothing is inherited from the caller except PATH
    """

    def __init__(
        self,
        directory: Path,
        *,
        listener: socket.socket | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)  # as root, Postgres runs as another user
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
        """Id of the process that was started last."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Start the process. Does not wait until it serves."""
        flags, kept = ["--port", str(self.port)], list[int]()
        if self._listener is not None:
            kept = [self._listener.fileno()]
            flags = ["--fd", str(kept[0])]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "orchboard", "serve", *flags],
                env=self._variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=kept,
                start_new_session=True, preexec_fn=_end_with_us,
            )  # fmt: skip

    async def until_well(self) -> None:
        """Wait until it and its database answer. Raises NotServingError."""
        deadline = time.monotonic() + _START_LIMIT_S
        while True:
            with suppress(Failure):
                if (await ask_once(self.port, get("/api/health"))).status == 200:
                    return
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise NotServingError(self.last_words())
            await asyncio.sleep(_POLL_S)

    def tell(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end, at most _STOP_LIMIT_S, and return the exit code. Raises NotServingError."""
        assert self._process is not None, "not started"
        deadline = time.monotonic() + _STOP_LIMIT_S
        while (code := self._process.poll()) is None:
            if time.monotonic() > deadline:
                raise NotServingError(f"did not end within {_STOP_LIMIT_S:.0f} s: {self.last_words()}")
            await asyncio.sleep(_POLL_S)
        return code

    def workers(self) -> Sequence[int]:
        """Process ids of its workers; empty if it has none."""
        found = []
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            with suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
        return found

    def postmaster(self) -> int | None:
        """Process id of its postmaster; None if none runs."""
        with suppress(OSError, ValueError, IndexError):
            [file] = self.data.glob("pg*/postmaster.pid")
            return int(file.read_text().splitlines()[0])
        return None

    def last_words(self) -> str:
        """Return the end of its output."""
        with suppress(OSError):
            return self.log.read_text(errors="replace")[-2000:].strip()
        return ""

    def end(self) -> None:
        """Stop it. If it does not end in time, kill it and its workers."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_LIMIT_S)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def running(directory: Path, *, listener: socket.socket | None = None, **variables: str) -> Iterator[Program]:
    """Start a program, and end it at the end of the context."""
    program = Program(directory, listener=listener, variables=variables)
    try:
        program.start()
        yield program
    finally:
        program.end()


def free_port() -> int:
    """Return a TCP port that is free at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _end_with_us() -> None:
    """In the child: get SIGTERM when the parent is killed. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
