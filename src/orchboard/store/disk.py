"""What is to outlast a loss of power."""

import os
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Have on the disk which files a directory holds."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
