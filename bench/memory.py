"""A worker's resident memory."""

from bench.figures import Row
from bench.server import Server

LIMIT_MB = 90.0


def memory_row(server: Server, when: str) -> Row:
    """How much of a server is in memory."""
    value = server.resident_mb()
    return Row.of_limit(f"a worker's memory {when}", f"{value:.0f} MB", value, LIMIT_MB, "MB")
