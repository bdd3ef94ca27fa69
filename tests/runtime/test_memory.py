"""What was freed goes back to the system."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

KIB_EACH, PIECES = 64, 800

# In a process of its own: in one that has run for a while small pieces have holes to go to, and are in nobody's way.
PROGRAM = f"""
import asyncio
from pathlib import Path
from orchboard.runtime import memory

def resident_kib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4

async def work():
    giving = asyncio.create_task(memory.give_back_memory())
    await asyncio.sleep(0.5)
    giving.cancel()

memory.EVERY_S = 0.01
pieces, kept = [], []
for _ in range({PIECES}):
    pieces.append(bytearray(b"x" * ({KIB_EACH} * 1024)))
    kept.append(bytearray(2000))  # not given back, and in the way of what is
held = resident_kib()
del pieces[:]
by_itself = held - resident_kib()
asyncio.run(work())
print(by_itself, held - resident_kib())
"""


def test_what_lies_free_between_what_is_kept_is_given_back() -> None:
    if not (Path("/proc/self/statm").exists() and hasattr(ctypes.CDLL(None), "malloc_trim")):
        pytest.skip("no glibc")
    ran = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    by_itself, given_back = map(int, ran.stdout.split())
    assert by_itself < KIB_EACH * PIECES / 4, "the C library does it by itself"
    assert given_back > KIB_EACH * PIECES / 2
