"""A worker's resident memory."""

import time

from bench.figures import Row
from bench.server import Server
from orchboard.runtime.memory import EVERY_S

LIMIT_MB = 90.0


def memory_row(server: Server, when: str) -> Row:
    """Measure the resident memory of a server at rest, after it has returned unused memory."""
    time.sleep(EVERY_S + 1)
    value = server.resident_mb()
    return Row.of_limit(f"a worker's memory {when}", f"{value:.0f} MB", value, LIMIT_MB, "MB")
