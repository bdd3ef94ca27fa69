"""Files of an archive: they appear when they are complete and on the disk, and no run replaces one."""

from __future__ import annotations

import filecmp
import os
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from itertools import chain, count
from typing import IO, TYPE_CHECKING

from orchboard.errors import SetupError
from orchboard.store.disk import sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def part_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file beside `path`, with the ending `.part`; removed after the block, whatever happens.

    Raises SetupError if another process is writing it.
    """
    part = path.with_suffix(".part")
    try:
        file = part.open("xb")
    except FileExistsError:
        raise _busy(part) from None
    with file:
        if not _lock(file, part):
            raise _busy(part)
        try:
            yield file
        finally:
            with suppress(OSError):
                part.unlink()


def add_file(file: IO[bytes], path: Path) -> Path:
    """Give a part file, when all of it is on the disk, the name of `path`; returns the name that it has.

    An existing file is never replaced: one with the same content is the result, and beside others the name gets a number.
    The file system must have hard links: a rename would replace the file that another process has just written.
    """
    file.flush()
    os.fsync(file.fileno())
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    for name in chain([path], numbered):
        try:
            os.link(file.name, name)
        except FileExistsError:
            if not filecmp.cmp(file.name, name, shallow=False):
                continue
        sync_directory(path.parent)
        return name
    raise AssertionError("numbers do not end")


def remove_leftovers(directory: Path) -> None:
    """Remove the part files of processes that were killed. Does not change them: one may be a second name of a finished file."""
    for part in directory.glob("results-*.part"):
        with suppress(FileNotFoundError), part.open("r+b") as file:
            if _lock(file, part):
                part.unlink()


def _busy(part: Path) -> SetupError:
    return SetupError(f"another process is writing {part}; nothing was deleted")


def _lock(file: IO[bytes], path: Path) -> bool:
    """Lock an open file until it is closed; False if another process has locked it, or removed it meanwhile."""
    try:
        flock(file, LOCK_EX | LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
