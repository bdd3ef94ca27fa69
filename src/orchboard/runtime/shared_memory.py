"""Memory that all workers of a server share: a file without a name, which they inherit."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO


@contextmanager
def shared_memory(name: str, size: int) -> Iterator[int]:
    """A file descriptor of `size` bytes of zeros, closed at the end.

    The file has no name in a file system, so that no cleaner of temporary directories can remove it.

    name -- shown among the descriptors of the process
    """
    with _nameless_file(name) as file:
        file.truncate(size)
        yield file.fileno()


def _nameless_file(name: str) -> IO[bytes]:
    if sys.platform == "linux":
        with suppress(OSError):
            return open(os.memfd_create(name), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
