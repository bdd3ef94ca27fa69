"""`orchboard serve` as a real process with a database of its own, which may be killed and started again."""

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

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 20.0
_POLL_S = 0.02

_PR_SET_PDEATHSIG = 1


class NotServingError(Exception):
    """The program ended, or did not get well in time; says which, and what it said last."""


class Program:
    """A server on a port of this machine, with its data below a directory; stopped, or killed, at the end.

    Whatever it starts is in its process group, but for Postgres, which ends with the process that started it.

    listener -- a listening socket that it is given, and that outlives it; None: it opens the port itself
    variables -- of its environment, beside nothing but what it needs
    """

    def __init__(
        self,
        directory: Path,
        *,
        listener: socket.socket | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)  # root's Postgres is another user's
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
        """The process that was started last."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Start the process; it does not serve yet."""
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
        """Wait until its database answers. Raises NotServingError."""
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
        """The exit code, once it has ended; at most _STOP_LIMIT_S. Raises NotServingError."""
        assert self._process is not None, "not started"
        deadline = time.monotonic() + _STOP_LIMIT_S
        while (code := self._process.poll()) is None:
            if time.monotonic() > deadline:
                raise NotServingError(f"did not end within {_STOP_LIMIT_S:.0f} s: {self.last_words()}")
            await asyncio.sleep(_POLL_S)
        return code

    def workers(self) -> Sequence[int]:
        """The pids of its workers, where it has some."""
        found = []
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            with suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
        return found

    def postmaster(self) -> int | None:
        """The pid of its Postgres; None while there is none."""
        with suppress(OSError, ValueError, IndexError):
            [file] = self.data.glob("pg*/postmaster.pid")
            return int(file.read_text().splitlines()[0])
        return None

    def last_words(self) -> str:
        """The end of what it said."""
        with suppress(OSError):
            return self.log.read_text(errors="replace")[-2000:].strip()
        return ""

    def end(self) -> None:
        """Stop it; what is not gone in time is killed, with its workers."""
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
    """A program that was started; it is gone at the end, whatever happens."""
    program = Program(directory, listener=listener, variables=variables)
    try:
        program.start()
        yield program
    finally:
        program.end()


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _end_with_us() -> None:
    """In the child: be told to stop when the prover is killed. Only Linux knows how."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
