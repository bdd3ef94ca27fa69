"""What was freed goes back to the system."""

import asyncio
import ctypes
from pathlib import Path

import pytest

from orchboard import memory

KIB_EACH, PIECES = 64, 800


def resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def test_what_lies_free_between_what_is_kept_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (Path("/proc/self/statm").exists() and hasattr(ctypes.CDLL(None), "malloc_trim")):
        pytest.skip("no glibc")
    monkeypatch.setattr(memory, "EVERY_S", 0.01)

    pieces, kept = [], []
    for _ in range(PIECES):
        pieces.append(bytearray(b"x" * (KIB_EACH * 1024)))
        kept.append(bytearray(2000))  # not given back, and in the way of what is
    held = resident_kib()
    del pieces[:]
    assert held - resident_kib() < KIB_EACH * PIECES / 4, "the C library does it by itself"

    async def work() -> int:
        giving = asyncio.create_task(memory.give_back_memory())
        await asyncio.sleep(0.5)
        giving.cancel()
        return held - resident_kib()

    assert asyncio.run(work()) > KIB_EACH * PIECES / 2
    assert len(kept) == PIECES
