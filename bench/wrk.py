"""wrk, for measurements in which a Python client would use most of the time."""

import subprocess
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.paths import HERE, program


class Run(Struct, frozen=True):
    """The measurements of wrk.

    requests -- answered requests; refused -- those answered 400 or above
    p50, p99 -- ms
    cpu_us -- processor time of the server for each response; 0 if not measured
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
        """Successful responses a second."""
        return (self.requests - self.refused) / self.seconds


def run_wrk(
    url: str,
    *,
    connections: int,
    seconds: int,
    core: int | None = None,
    requests: tuple[Path, int] | None = None,
) -> Run:
    """Run one thread of wrk on a URL.

    core -- pins wrk to this core
    requests -- a file of requests to send in place of a GET, and the number of the first
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
