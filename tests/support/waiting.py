"""Waiting for what comes true a moment later."""

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], bool], within_s: float = 60) -> None:
    """Look every 20 ms; a test fails whose claim never holds."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
