"""Instances of the function that `make vercel` has built, started as Vercel starts them: under its runtime, Python 3.12."""

import base64
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
FUNCTION = ROOT / "dist/vercel/function"


def configuration() -> dict[str, Any]:
    """What the build says of the function. Skips the test where it was not built; CI builds it."""
    if not FUNCTION.is_dir():
        _missing("there is no dist/vercel/function: make vercel")
    config: dict[str, Any] = json.loads((FUNCTION / ".vc-config.json").read_text())
    return config


@cache
def python() -> str:
    """The Python 3.12 that the function was built with."""
    config = ROOT / "dist/vercel/project/.vercel/python/.venv/pyvenv.cfg"
    lines = dict(line.split(" = ", 1) for line in config.read_text().splitlines() if " = " in line)
    return str(Path(lines["home"]) / "python3.12")


def _missing(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class Instance:
    """One that runs.

    ready_s -- how long it took from the start of the process to the runtime's word that it serves
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        config = configuration()
        module, _ = config["handler"].split(".")
        self._messages: list[dict[str, Any]] = []
        self._started = threading.Event()
        with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX) as ipc:
            ipc.bind(f"{place}/ipc")
            ipc.listen()
            ipc.settimeout(30)
            began_at = time.monotonic()
            self.process = subprocess.Popen(
                [python(), "-c", f"import {module}"],
                cwd=FUNCTION,
                env={
                    "PATH": os.defpath,
                    "VERCEL_IPC_PATH": f"{place}/ipc",
                    **config["environment"],
                    **environment,
                },
                stderr=subprocess.PIPE,
            )
            self._runtime, _ = ipc.accept()
        # Read all the time: the runtime waits for room.
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        assert self._started.wait(30), self.stop()
        self.ready_s = time.monotonic() - began_at

    def _read(self) -> None:
        with self._runtime, self._runtime.makefile("rb") as stream:
            for part in _parts(stream):
                self._messages.append(json.loads(part))
                if self._messages[-1]["type"] == "server-started":
                    self.url = f"http://127.0.0.1:{self._messages[-1]['payload']['httpPort']}"
                    self._started.set()

    def log(self) -> str:
        """What it has logged so far."""
        logged = [message["payload"] for message in self._messages if message["type"] == "log"]
        return "".join(base64.b64decode(each["message"]).decode() for each in logged)

    def stop(self) -> str:
        """End it as the platform does, and what it wrote; fails unless it then ends by itself."""
        self.process.send_signal(signal.SIGTERM)
        _, written = self.process.communicate(timeout=15)
        self._reading.join(5)
        assert self.process.returncode in (0, -signal.SIGTERM)
        return self.log() + written.decode()


def _parts(stream: Any) -> Iterator[bytes]:
    """What comes, divided at zero bytes."""
    rest = b""
    while received := stream.read1(65536):
        *whole, rest = (rest + received).split(b"\0")
        yield from whole


@contextmanager
def instance(environment: Mapping[str, str]) -> Iterator[Instance]:
    """Start an instance, and end it; fails when it leaves a traceback behind."""
    started = Instance(environment)
    try:
        yield started
    finally:
        try:
            written = started.stop()
        finally:
            started.process.kill()
            started.process.wait()
    assert "Traceback" not in written, written


def processor_s(pid: int) -> float:
    """The time of the processor that a process has taken, in seconds."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """The memory that a process has, in megabytes."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) * 1024 / 1e6
