"""wrk, the client where Python's own time would be most of what is measured."""

import subprocess
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.place import HERE, program


class Run(Struct, frozen=True):
    """What wrk saw.

    requests -- answered; refused -- of them, with 400 or above
    p50, p99 -- ms
    cpu_us -- processor time of the server an answer, where it was looked at
    """

    requests: int
    seconds: float
    refused: int
    broken: int
    p50: float
    p99: float
    cpu_us: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second that were no refusals."""
        return (self.requests - self.refused) / self.seconds


def run_wrk(
    url: str,
    *,
    connections: int,
    seconds: int,
    core: int | None = None,
    requests: tuple[Path, int] | None = None,
) -> Run:
    """One thread of wrk on a URL.

    core -- to stay on
    requests -- a file of requests to send instead of a GET, and the number of the first
    """
    command = [program("wrk", package="Debian's wrk"), "-t1", f"-c{connections}", f"-d{seconds}s"]
    command += ["--timeout", "10s", "-s", str(HERE / "wrk.lua"), url]
    if requests is not None:
        command += ["--", str(requests[0]), str(requests[1])]
    if core is not None:
        command = [program("taskset", package="Debian's util-linux"), "-c", str(core), *command]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"wrk: {run.stdout}{run.stderr}")
    [line] = [line for line in run.stdout.splitlines() if line.startswith("JSON ")]
    return msgspec.json.decode(line.removeprefix("JSON "), type=Run)
