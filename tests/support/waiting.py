"""Waits for a condition."""

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], bool], within_s: float = 60) -> None:
    """Check every 20 ms until the condition holds. Fails after `within_s`."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.02)
