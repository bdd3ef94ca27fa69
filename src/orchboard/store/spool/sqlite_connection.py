"""The connection to the spool's file. What is committed is in the file that the path names, whatever happened to it."""

import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

import structlog

from orchboard import limits
from orchboard.errors import SetupError
from orchboard.store.disk import sync_directory
from orchboard.store.spool.rescue import DAMAGED, code_of, damaged_name, move_results
from orchboard.store.spool.sqlite_layout import refuse_newer, require_version, upgrade

T = TypeVar("T")
log = structlog.get_logger(__name__)

# O_PATH descriptors find a file again whose name was removed. Closing any other descriptor would drop SQLite's locks on the
# file, which POSIX counts per process.
_HANDLE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC

_NO_RETRY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)


class SpoolConnection:
    """A SQLite file that may be removed, replaced or damaged while it is open. Used from one thread of one process.

    Each commit deletes the journal (decision 9), so that between commits all data is in one file. After each commit the
    connection checks that the path still names the open file. If the file or its directory was removed or replaced, the
    connection opens the file at the path, or creates one, and moves the contents of the lost file there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: sqlite3.Connection | None = None
        self._identity = (-1, -1)  # device and inode of the file that was opened last
        self._handle = -1
        self._lost: list[int] = []

    @property
    def is_open(self) -> bool:
        """Whether a file is open, or lost with contents that are not moved yet."""
        return self._open is not None or bool(self._lost)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a read transaction and return its result. Raises sqlite3.Error, OSError, SetupError."""
        return self._run("BEGIN", work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction and return its result. On return the data is on the disk, in the file at the path.

        `work` is called again when the file was removed, truncated or replaced meanwhile. A file that is not a database any
        more is renamed to `….damaged-<Unix time in nanoseconds>`, and a new one created. Raises sqlite3.Error, OSError,
        or SetupError for a file of a newer version: then nothing was changed, as far as can be known.
        """
        result = self._run("BEGIN IMMEDIATE", work, renames_damaged=True)
        if not self._has_name():
            self._opened()  # moves the committed data
        return result

    def vacuum(self) -> None:
        """Return free pages to the file system, unless another worker is writing."""
        with suppress(sqlite3.OperationalError):
            self._opened().execute("VACUUM")

    def close(self) -> None:
        """Close the file, after moving the contents of lost files. The next call opens it again."""
        if self.is_open:
            with suppress(sqlite3.Error, OSError, SetupError):
                self._opened()
        self._close()

    def _close(self) -> None:
        connection, self._open = self._open, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
            os.close(self._handle)

    def _run(
        self, begin: str, work: Callable[[sqlite3.Connection], T], *, renames_damaged: bool = False
    ) -> T:
        attempts_left = 2
        while True:
            try:
                connection = self._opened()
                connection.execute(begin)
                require_version(connection, self.path)
                result = work(connection)
                break
            except sqlite3.DatabaseError as error:
                code, attempts_left = code_of(error), attempts_left - 1
                self._roll_back()
                if renames_damaged and code in DAMAGED:
                    self._rename_damaged(str(error))
                if code in _NO_RETRY or not attempts_left:
                    raise
            except BaseException:
                self._roll_back()
                raise
        try:
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        return result

    def _roll_back(self) -> None:
        """Roll back and close the file, because opening it again may repair or reveal what is wrong."""
        if self._open is not None:
            with suppress(sqlite3.Error):
                self._open.execute("ROLLBACK")
        self._drop_or_close()

    def _drop_or_close(self) -> None:
        """Close the file; if its name was removed, keep its handle until its contents are moved."""
        if self._open is None:
            return
        if self._has_name():
            self._close()
            return
        connection, self._open = self._open, None
        with suppress(sqlite3.Error):
            connection.close()
        self._lost.append(self._handle)

    def _has_name(self) -> bool:
        try:
            return _identity_of(self.path.stat()) == self._identity
        except OSError:
            return False

    def _opened(self) -> sqlite3.Connection:
        if self._open is not None and not self._has_name():
            log.error("the spool's file was removed or replaced while it was open", file=str(self.path))
            self._drop_or_close()
        if self._open is None:
            self._connect()
        assert self._open is not None  # noqa: S101 - for mypy
        while self._lost:
            move_results(self._lost[-1], self._open, self.path)
            os.close(self._lost.pop())
        return self._open

    def _connect(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._size():
            self._create()
        handle = os.open(self.path, _HANDLE)
        try:
            connection = sqlite3.connect(
                self.path, timeout=limits.SPOOL_BUSY_S, isolation_level=None, check_same_thread=False
            )
        except BaseException:
            os.close(handle)
            raise
        self._open, self._handle, self._identity = connection, handle, _identity_of(os.fstat(handle))
        try:
            if not self._has_name():
                raise FileNotFoundError(f"{self.path} was replaced while it was opened")
            refuse_newer(connection, self.path)
            # Fails while workers of a version that used a write-ahead log have the file open; the format stays then.
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = DELETE")
            # EXTRA also syncs the deletion of the journal.
            connection.execute("PRAGMA synchronous = EXTRA")
            upgrade(connection, self.path)
        except BaseException:
            self._close()
            raise

    def _size(self) -> int | None:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return None

    def _create(self) -> None:
        """Create the file with access for its owner only, or replace an empty one, which other workers may have cached.

        It is created under another name first: nobody opens it unfinished, and no descriptor of it is closed under
        SQLite's locks.
        """
        descriptor, name = tempfile.mkstemp(prefix=f"{self.path.name}.new-", dir=self.path.parent)
        os.close(descriptor)
        fresh = Path(name)
        try:
            with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
                upgrade(connection, self.path)
            if self._size() == 0:
                fresh.replace(self.path)
            else:
                try:
                    self.path.hardlink_to(fresh)
                except FileExistsError:
                    pass  # another worker created it
                except OSError:  # a file system without hard links
                    fresh.replace(self.path)
        finally:
            fresh.unlink(missing_ok=True)
        sync_directory(self.path.parent)

    def _rename_damaged(self, error: str) -> None:
        """Rename the file, which is not a database any more, unless another worker did."""
        if self._has_name():
            self.path.rename(renamed := damaged_name(self.path))
            log.error("the spool's file is damaged: it was renamed", file=str(renamed), error=error)


def _identity_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
