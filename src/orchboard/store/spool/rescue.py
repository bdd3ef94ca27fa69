"""Rescue of a spool's file that was removed or replaced while it was open: its contents move to the file at the path."""

import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import structlog

from orchboard import limits
from orchboard.store.sql_files import sql

log = structlog.get_logger(__name__)


DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
"""SQLite's codes for a file that is not a database or is corrupt."""

# The byte range that SQLite's readers and writers lock: SHARED_FIRST and SHARED_SIZE of its file format.
_LOCKED_FROM, _LOCKED_BYTES = 0x40000002, 510


def move_results(handle: int, connection: sqlite3.Connection, path: Path) -> None:
    """Move all submissions of the file behind a handle into the spool at `path`.

    One worker does it and empties the file for all that have it open. If the file can't be read and has no other name, it is
    copied, so that an operator can examine it.
    Raises sqlite3.Error, OSError: nothing was moved then, and the call must be repeated.

    handle -- an O_PATH descriptor where the system has them
    connection -- to the spool at `path`, outside a transaction
    """
    copy = path.with_name(f"{path.name}.lost-{os.getpid()}-{handle}")
    with _locked(handle) as lost:
        if not os.fstat(lost).st_size:
            return
        try:
            with open(lost, "rb", closefd=False) as source, _open_new(copy) as file:
                shutil.copyfileobj(source, file)
            moved = _insert_all(connection, copy)
        except sqlite3.DatabaseError as error:
            if code_of(error) not in DAMAGED:
                raise
            if not os.fstat(lost).st_nlink:
                copy.rename(renamed := damaged_name(path))
                log.exception(
                    "the spool's file was removed and can't be read: it was copied", file=str(renamed)
                )
            return
        finally:
            copy.unlink(missing_ok=True)
        os.ftruncate(lost, 0)
    if moved:
        log.warning("results were moved from the lost spool file to the new one", results=moved)


def damaged_name(path: Path) -> Path:
    """A new name for a spool file that can't be read."""
    return path.with_name(f"{path.name}.damaged-{time.time_ns()}")


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for an error of Python's module."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextmanager
def _locked(handle: int) -> Iterator[int]:
    """A descriptor of a file, locked so that no connection is in a transaction."""
    file = os.open(f"/dev/fd/{handle}", os.O_RDWR | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + limits.SPOOL_BUSY_S
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCKED_BYTES, _LOCKED_FROM)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.01)
        yield file
    finally:
        os.close(file)


def _open_new(path: Path) -> BinaryIO:
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


def _insert_all(connection: sqlite3.Connection, copy: Path) -> int:
    """Insert the submissions of a copied spool; returns their number."""
    connection.execute("ATTACH ? AS lost", (str(copy),))
    try:
        return connection.execute(sql("spool_move")).rowcount
    finally:
        connection.execute("DETACH lost")
