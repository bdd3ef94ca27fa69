"""Start-up time, from exec to the first 200."""

import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress

from bench.connection import Connection
from bench.effort import Effort
from bench.figures import Outcome, Row, Samples, latency
from bench.paths import ORCHBOARD, SECRET
from bench.server import free_port

LIMIT_MS = 500.0
_WAIT_S = 60.0
PATHS = ("/api/regions", "/api/aggregated_stats")


def measure_start(
    environment: Mapping[str, str], name: str, effort: Effort, *, limited: bool = False
) -> Outcome:
    """Measure the time to the first 200 of each path, with separate starts for each.

    environment -- selects the database
    limited -- whether the target applies to these starts
    """
    outcome = Outcome()
    for path in PATHS:
        samples = Samples([first_answer_ms(environment, path) for _ in range(effort.starts + 1)][1:])
        shown = f"{latency(samples)}, {effort.starts} starts"
        work = f"start to the first 200 of {path}, {name}"
        if limited and path == PATHS[0]:
            outcome.rows.append(Row.of_limit(work, shown, samples.p50, LIMIT_MS, "ms"))
        else:
            outcome.rows.append(Row(work, shown))
    return outcome


def first_answer_ms(environment: Mapping[str, str], path: str, program: str = ORCHBOARD) -> float:
    """Return the time from the exec of `PROGRAM serve` to the first 200 of a path. environment -- selects the database"""
    port = free_port()
    settings = {"SECRET": SECRET, "HOST": "127.0.0.1", "PORT": str(port), "WORKERS": "1", "LOG_LEVEL": "warn"}
    began_at = time.perf_counter()
    process = subprocess.Popen(
        [program, "serve"],
        env={**environment, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while time.perf_counter() < began_at + _WAIT_S:
            with suppress(OSError, RuntimeError), Connection(port) as connection:
                connection.get(path)
                return (time.perf_counter() - began_at) * 1e3
            time.sleep(0.002)
        raise RuntimeError(f"no answer from {path}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_WAIT_S)
