"""Temporary directories that Postgres's user can reach, if possible in memory."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def tmpfs_directory() -> str | None:
    """A tmpfs with space for clusters; None if there is none. A clone takes 20 ms there, up to 500 ms on a busy disk."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 2**31 else None


@contextmanager
def reachable_directory() -> Iterator[Path]:
    """A new directory that all users may traverse. Removed after the block."""
    directory = Path(tempfile.mkdtemp(prefix="orchboard-test-", dir=tmpfs_directory()))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
