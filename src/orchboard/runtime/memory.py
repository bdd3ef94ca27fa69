"""Memory of this process: how much it uses; returning what is free to the operating system."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path


def resident_bytes() -> int:
    """The memory of this process that is in RAM; 0 where the system has no /proc."""
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


def return_freed_memory() -> None:
    """Give pages of the heap that hold nothing back to the system; with glibc only, as others do so by themselves.

    glibc keeps a freed block as long as a used one lies above it: after reports over a year, 35 MB of 130. Takes 1 to 9 ms,
    without the GIL.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
