"""Durability of directory entries."""

import os
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Make created, renamed and removed files of a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
