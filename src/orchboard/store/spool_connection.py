"""The connection to the spool's file: what is committed through it is in the file that has the name."""

import fcntl
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import structlog

from orchboard.errors import SetupError
from orchboard.store.disk import sync_directory
from orchboard.store.queries import sql

T = TypeVar("T")
log = structlog.get_logger(__name__)

VERSION = 1
"""Of the layout, in the file's user_version. Files from before it was counted have 0: `spool_upgrade` is for them."""

# How long a worker waits for another one that is writing.
_BUSY_S = 5.0

# Descriptors by which a file is found again when its name is gone. Closing any other kind would drop SQLite's locks
# on the file, which POSIX counts by process.
_HANDLE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC

# The bytes of a database file that SQLite's readers and writers lock: SHARED_FIRST and SHARED_SIZE of its file format.
_LOCKED_FROM, _LOCKED_BYTES = 0x40000002, 510

_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_NO_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)

_COLUMNS = {
    "number", "received_at", "id", "region", "job_type", "orchestrator",
    "payload", "key", "body_digest", "tester_id", "reason",
}  # fmt: skip


class SpoolConnection:
    """A SQLite file that survives what others do to its name and contents. From one thread of one process.

    The journal is deleted by each commit (decision 9), so that at rest everything committed is in one file. That the
    path names this file is checked after each commit. A file whose name is gone (removed, replaced, its directory
    replaced) is left for the one that has the name, or a new one, and what it holds is moved there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: sqlite3.Connection | None = None
        self._identity = (-1, -1)  # device and inode of the file that was opened last
        self._handle = -1
        self._lost: list[int] = []

    @property
    def is_open(self) -> bool:
        """Whether a file is open, or lost and not moved yet."""
        return self._open is not None or bool(self._lost)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, in a transaction that reads. Raises sqlite3.Error, OSError, SetupError."""
        return self._run("BEGIN", work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, in a transaction that is on the disk, in the file that has the name.

        `work` may be called again when the file was removed, truncated or replaced meanwhile. A file that is no
        database any more is renamed, to `….damaged-<Unix time>`, and a new one made. Raises sqlite3.Error, OSError,
        or SetupError for a file of a newer version: then nothing was done, as far as one can know.
        """
        result = self._run("BEGIN IMMEDIATE", work, sets_damaged_aside=True)
        if not self._has_name():
            self._opened()  # moves what was committed
        return result

    def give_back(self) -> None:
        """Return free pages to the disk, unless another worker is writing."""
        with suppress(sqlite3.OperationalError):
            self._opened().execute("VACUUM")

    def close(self) -> None:
        """Close the file, after moving what one without a name holds. The next call opens it again."""
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
        self, begin: str, work: Callable[[sqlite3.Connection], T], *, sets_damaged_aside: bool = False
    ) -> T:
        attempts_left = 2
        while True:
            try:
                connection = self._opened()
                connection.execute(begin)
                self._require_version(connection)
                result = work(connection)
                break
            except sqlite3.DatabaseError as error:
                code, attempts_left = _code_of(error), attempts_left - 1
                self._roll_back()
                if sets_damaged_aside and code in _DAMAGED:
                    self._set_damaged_aside(str(error))
                if code in _NO_USE or not attempts_left:
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
        """Close the file too: what is wrong with it may be known only to its next opening."""
        if self._open is not None:
            with suppress(sqlite3.Error):
                self._open.execute("ROLLBACK")
        self._drop_or_close()

    def _drop_or_close(self) -> None:
        """Close the file; one whose name is gone is kept by its handle until it is moved."""
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
            self._move_from(self._lost[-1], self._open)
            os.close(self._lost.pop())
        return self._open

    def _connect(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._size():
            self._create()
        handle = os.open(self.path, _HANDLE)
        try:
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
        except BaseException:
            os.close(handle)
            raise
        self._open, self._handle, self._identity = connection, handle, _identity_of(os.fstat(handle))
        try:
            if not self._has_name():
                raise FileNotFoundError(f"{self.path} was replaced while it was opened")
            # Refused while workers of a version that kept a write-ahead log have the file open; its format stays then.
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute(
                "PRAGMA synchronous = EXTRA"
            )  # the deletion of the journal is on the disk, too
            self._upgrade(connection)
        except BaseException:
            self._close()
            raise

    def _size(self) -> int | None:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return None

    def _create(self) -> None:
        """Make the file, its owner's only, or another one in place of an empty one, which other workers may have cached.

        Under another name first: nobody finds it half made, and no descriptor of it is closed under SQLite's locks.
        """
        descriptor, name = tempfile.mkstemp(prefix=f"{self.path.name}.new-", dir=self.path.parent)
        os.close(descriptor)
        fresh = Path(name)
        try:
            with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
                self._upgrade(connection)
            if self._size() == 0:
                fresh.replace(self.path)
            else:
                with suppress(FileExistsError):  # another worker was first
                    self.path.hardlink_to(fresh)
        finally:
            fresh.unlink(missing_ok=True)
        sync_directory(self.path.parent)

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        """Bring the layout up to date, in one transaction. Raises SetupError for one that is not known here."""
        if _version_of(connection) == VERSION:
            return
        connection.execute("BEGIN IMMEDIATE")
        if _version_of(connection) < VERSION:  # else another worker was first
            columns = _columns_of(connection)
            if not columns:
                for statement in sql("spool_schema").split(";\n"):
                    connection.execute(statement)
            elif "tester_id" not in columns:
                connection.execute(sql("spool_upgrade"))
            if missing := _COLUMNS - _columns_of(connection):
                raise SetupError(
                    f"{self.path} is no spool of orchboard: it lacks {', '.join(sorted(missing))}"
                )
            connection.execute(f"PRAGMA user_version = {VERSION}")
        self._require_version(connection)
        connection.execute("COMMIT")

    def _require_version(self, connection: sqlite3.Connection) -> None:
        """Raise SetupError for a newer layout, sqlite3.DatabaseError for none: the file was truncated or replaced."""
        version = _version_of(connection)
        if version > VERSION:
            raise SetupError(
                f"{self.path} was written by a newer version of orchboard (its layout is {version}, this one knows "
                f"{VERSION}): it is left as it is; run that version, or rename the file"
            )
        if version < VERSION:
            raise _emptied()

    def _set_damaged_aside(self, error: str) -> None:
        """Rename the file, which is no database any more, unless another worker did."""
        if self._has_name():
            aside = self.path.with_name(f"{self.path.name}.damaged-{int(time.time())}")
            self.path.rename(aside)
            log.error("the spool's file is damaged: it was renamed", file=str(aside), error=error)

    def _move_from(self, handle: int, connection: sqlite3.Connection) -> None:
        """Move results from a file whose name is gone. One worker does it: the file is empty then for all of them."""
        copy = self.path.with_name(f"{self.path.name}.lost-{os.getpid()}")
        with _locked(handle) as lost:
            if not os.fstat(lost).st_size:
                return
            try:
                with (
                    open(lost, "rb", closefd=False) as source,
                    open(
                        os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb"
                    ) as file,
                ):
                    shutil.copyfileobj(source, file)
                moved = _move_all(connection, copy)
            except sqlite3.DatabaseError as error:
                if _code_of(error) not in _DAMAGED:
                    raise
                log.exception("the spool's file without a name can't be read", file=str(self.path))
                return
            finally:
                copy.unlink(missing_ok=True)
            os.ftruncate(lost, 0)
        if moved:
            log.warning("results of the spool's file without a name were moved", results=moved)


def _identity_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for an error of Python's module."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _version_of(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _columns_of(connection: sqlite3.Connection) -> set[str]:
    return {row[1] for row in connection.execute("PRAGMA table_info(spooled)")}


def _emptied() -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError("the spool's file was emptied or replaced while it was open")
    error.sqlite_errorcode = sqlite3.SQLITE_SCHEMA
    return error


@contextmanager
def _locked(handle: int) -> Iterator[int]:
    """A descriptor of a file that has a handle, with nobody in a transaction on it. Raises TimeoutError, OSError."""
    file = os.open(f"/dev/fd/{handle}", os.O_RDWR | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _BUSY_S
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


def _move_all(connection: sqlite3.Connection, copy: Path) -> int:
    """Insert the results of a copied spool; how many there were."""
    connection.execute("ATTACH ? AS lost", (str(copy),))
    try:
        return connection.execute(sql("spool_move")).rowcount
    finally:
        connection.execute("DETACH lost")
