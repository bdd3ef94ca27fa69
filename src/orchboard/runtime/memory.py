"""Memory: what was freed goes back to the system."""

import asyncio
import ctypes
from collections.abc import Callable

# About 1 ms each time, in a thread.
EVERY_S = 5.0


async def give_back_memory() -> None:
    """Until cancelled, give pages back that hold nothing any more, where the C library can.

    glibc keeps what is freed between two things that are not. Among answers of half a megabyte that come and go
    this was 5 to 10 MB of a process that had come to rest.
    """
    trim = _trim()
    while trim is not None:
        await asyncio.sleep(EVERY_S)
        await asyncio.to_thread(trim, 0)


def _trim() -> Callable[[int], int] | None:
    try:
        library = ctypes.CDLL(None)
        return library.malloc_trim
    except (OSError, TypeError, AttributeError):  # macOS, musl
        return None
