"""Freed memory goes back to the system, although something above it is still used."""

import os
from pathlib import Path

from orchboard.runtime.memory import return_freed_memory


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_memory_below_a_used_block_is_returned() -> None:
    blocks = [bytes(5_000) for _ in range(20_000)]
    last = blocks.pop()
    blocks.clear()
    before = resident_mb()
    return_freed_memory()
    assert resident_mb() < before - 50
    assert len(last) == 5_000
