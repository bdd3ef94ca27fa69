"""The spool's file: submissions in a SQLite database on the local disk, until they are in Postgres."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from orchboard.errors import DatabaseUnavailableError, KeyReusedError, Refusal
from orchboard.results.submission import Submission
from orchboard.store.spool.sqlite_connection import SpoolConnection
from orchboard.store.spool.sqlite_layout import VERSION, row_of, submission_of
from orchboard.store.sql_files import sql

# Approximate size of a row without its payload.
ROW_BYTES = 512

_MIN_VACUUM_BYTES = 1024 * 1024


class SpooledSubmission(Struct, frozen=True):
    """A submission in the spool, and its row number there."""

    number: int
    submission: Submission


class DeadLetter(Struct, frozen=True):
    """A submission that can't be stored and needs a manual decision.

    received_at -- microseconds since 1970
    reason -- why it can't be stored
    """

    number: int
    received_at: int
    region: str
    job_type: str
    orchestrator: str
    payload: str
    reason: str


class Depth(Struct, frozen=True):
    """The contents of a spool.

    waiting -- number of submissions that will be replayed
    oldest -- receipt time of the oldest of them, in Unix seconds; None when there are none
    dead_letters -- number of dead letters
    """

    waiting: int
    oldest: float | None
    dead_letters: int

    def age_s(self, now: datetime) -> float:
        """Age of the oldest waiting submission, in seconds; 0 when none waits."""
        return 0.0 if self.oldest is None else max(now.timestamp() - self.oldest, 0.0)


class SpoolFile:
    """One file, used from one thread of one process; other processes may have it open too. Writes are on the disk on return.

    Every method may raise sqlite3.Error, OSError, or SetupError for a file of a newer version. Nothing was changed then,
    as far as can be known.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._connection = SpoolConnection(path)

    @property
    def exists(self) -> bool:
        """Whether there is a file, also when its name was removed while it was open."""
        return self._connection.is_open or self.path.exists()

    def add(self, submissions: Sequence[Submission]) -> list[Refusal | None]:
        """Add submissions; returns an outcome for each: None when it is on the disk.

        DatabaseUnavailableError when the spool is full; KeyReusedError for an Idempotency-Key that is in the spool with
        another body. An equal key and body is added once.
        """

        def add_all(connection: sqlite3.Connection) -> list[Refusal | None]:
            bytes_left = self._max_bytes - connection.execute(sql("spool_pages")).fetchone()[0]
            outcomes: list[Refusal | None] = []
            for submission in submissions:
                bytes_left -= len(submission.parsed.payload) + ROW_BYTES
                if bytes_left < 0:
                    outcomes.append(
                        DatabaseUnavailableError(
                            "the database is unavailable and the spool is full; try again"
                        )
                    )
                else:
                    outcomes.append(_add(connection, submission))
            return outcomes

        return self._connection.write(add_all)

    def try_to_write(self) -> None:
        """Write nothing but the version, to raise what `add` would raise."""
        self._connection.write(lambda connection: connection.execute(f"PRAGMA user_version = {VERSION}"))

    def oldest(self, max_rows: int, max_bytes: int) -> list[SpooledSubmission]:
        """The oldest waiting submissions, within both limits: at least one, unless none waits. A key occurs once."""

        def fetch(connection: sqlite3.Connection) -> list[SpooledSubmission]:
            found: list[SpooledSubmission] = []
            bytes_left = max_bytes
            with closing(connection.execute(sql("spool_oldest"), (max_rows,))) as rows:
                rows.row_factory = sqlite3.Row
                for row in rows:
                    bytes_left -= len(row["payload"])
                    if found and bytes_left < 0:
                        break
                    found.append(SpooledSubmission(row["number"], submission_of(row)))
            return found

        return self._connection.read(fetch)

    def assign_ids(self, spooled: Sequence[SpooledSubmission], ids: Sequence[int]) -> list[SpooledSubmission]:
        """Assign ids to submissions that have none, and return those that still wait, each with its id in the file.

        The ids are on the disk before anybody uses them. Another worker may have assigned ids, or stored the submissions,
        meanwhile: then its ids apply.
        """
        unused = iter(ids)

        def assign_all(connection: sqlite3.Connection) -> list[tuple[SpooledSubmission, int]]:
            assigned = []
            for one in spooled:
                if one.submission.id is None:
                    connection.execute(sql("spool_assign_id"), (next(unused, None), one.number))
                if row := connection.execute(sql("spool_id"), (one.number,)).fetchone():
                    assigned.append((one, row[0]))
            return assigned

        assigned = self._connection.write(assign_all)
        for one, id_ in assigned:
            one.submission.id = id_
        return [one for one, _ in assigned]

    def remove(self, numbers: Sequence[int]) -> None:
        """Delete submissions that are in the database."""
        rows = [(number,) for number in numbers]
        self._connection.write(lambda connection: connection.executemany(sql("spool_remove"), rows))

    def dead_letter(self, reasons: Sequence[tuple[int, str]]) -> None:
        """Make dead letters of submissions: the number and the reason of each."""
        rows = [(reason, number) for number, reason in reasons]
        self._connection.write(lambda connection: connection.executemany(sql("spool_dead_letter"), rows))

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        """The oldest dead letters."""
        rows = self._connection.read(
            lambda connection: connection.execute(sql("spool_dead_letters"), (limit,)).fetchall()
        )
        return [
            DeadLetter(
                number, received_at, region, job_type, orchestrator, payload.decode(errors="replace"), reason
            )
            for number, received_at, region, job_type, orchestrator, payload, reason in rows
        ]

    def retry(self) -> int:
        """Make all dead letters wait for the replay again; returns their number."""
        return self._connection.write(lambda connection: connection.execute(sql("spool_retry")).rowcount)

    def depth(self) -> Depth:
        """The numbers of waiting submissions and dead letters."""
        waiting, oldest, dead_letters = self._connection.read(
            lambda connection: connection.execute(sql("spool_depth")).fetchone()
        )
        return Depth(waiting, None if oldest is None else oldest / 1e6, dead_letters)

    def used_bytes(self) -> int:
        """The size of the contents; `max_bytes` limits it."""
        return self._pages()[0]

    def vacuum(self) -> None:
        """Return free pages to the file system, if there are enough of them."""
        if self._pages()[1] > _MIN_VACUUM_BYTES:
            self._connection.vacuum()

    def _pages(self) -> tuple[int, int]:
        """The bytes of used and of free pages."""
        used, free = self._connection.read(
            lambda connection: connection.execute(sql("spool_pages")).fetchone()
        )
        return used, free

    @contextmanager
    def replay_lock(self) -> Iterator[bool]:
        """Try to lock the replay, so that one worker at a time stores the submissions; whether it is locked by us.

        The lock ends with the process. It only saves work: ids (`assign_ids`) ensure that each submission is stored once,
        even when the lock's file is removed.
        """
        file = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(file)

    def close(self) -> None:
        """Close the file. The next call opens it again."""
        self._connection.close()


def _add(connection: sqlite3.Connection, submission: Submission) -> Refusal | None:
    if connection.execute(sql("spool_add"), row_of(submission)).rowcount:
        return None
    [digest] = connection.execute(sql("spool_digest"), (submission.key,)).fetchone()
    return None if digest == submission.body_digest else KeyReusedError()
