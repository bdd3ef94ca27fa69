"""The spool's file: results on a disk of ours, in SQLite, until they are in the database."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct, structs

from orchboard.errors import DatabaseUnavailableError, KeyReusedError, Refusal
from orchboard.store.disk import sync_directory
from orchboard.store.queries import sql

# About what a result takes beside its payload.
ROW_BYTES = 512

# How long another worker that is writing is waited for.
_BUSY_S = 5.0

_WORTH_GIVING_BACK_BYTES = 1024 * 1024

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def from_time(when: datetime) -> int:
    """Microseconds since 1970 of an aware datetime."""
    return (when - _EPOCH) // _MICROSECOND


def to_time(received_at: int) -> datetime:
    """The aware datetime of microseconds since 1970, in UTC."""
    return _EPOCH + received_at * _MICROSECOND


class Spooled(Struct, frozen=True):
    """A result that was acknowledged and is not in the database yet.

    received_at -- microseconds since 1970, by the server's clock
    id -- in `events`, once it was chosen: with it a result that was sent twice is stored once
    payload -- JSON, as it is stored
    key, body_digest -- an Idempotency-Key and the digest of the body it came with; both or neither
    tester_id -- who sent it, None when that is not known
    """

    received_at: int
    id: int | None
    region: str
    job_type: str
    orchestrator: str
    payload: bytes
    key: str | None = None
    body_digest: bytes | None = None
    tester_id: int | None = None


class Numbered(Struct, frozen=True):
    """A result in the spool, by the number it has there."""

    number: int
    spooled: Spooled


class Aside(Struct, frozen=True):
    """A result that could not be stored and waits for a person; `reason` says why."""

    number: int
    received_at: int
    region: str
    job_type: str
    orchestrator: str
    payload: str
    reason: str


class Depth(Struct, frozen=True):
    """What is in the spool.

    waiting -- results that wait for the database
    oldest -- when the first of them came, in Unix seconds; None when none waits
    aside -- results that could not be stored and wait for a person
    """

    waiting: int
    oldest: float | None
    aside: int

    def age_s(self, now: datetime) -> float:
        """How long the first of them has waited, in seconds; 0 when none waits."""
        return 0.0 if self.oldest is None else max(now.timestamp() - self.oldest, 0.0)


class SpoolFile:
    """One file, from one thread of one process; others may have it open too. What was written is on the disk.

    Any call may raise sqlite3.Error or OSError: then nothing of it was done, as far as one can know.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._open: sqlite3.Connection | None = None

    def add(self, results: Sequence[Spooled]) -> list[Refusal | None]:
        """Keep results; what became of each: None when it is kept, on the disk.

        DatabaseUnavailableError when there is no room, KeyReusedError for a key that is here with another body.
        """
        with self._transaction() as connection:
            room = self._max_bytes - connection.execute(sql("spool_pages")).fetchone()[0]
            outcomes: list[Refusal | None] = []
            for result in results:
                room -= len(result.payload) + ROW_BYTES
                if room < 0:
                    outcomes.append(
                        DatabaseUnavailableError("the database is away, and the spool is full; try again")
                    )
                else:
                    outcomes.append(_add(connection, result))
        return outcomes

    def oldest(self, max_rows: int, max_bytes: int) -> list[Numbered]:
        """The results that came first, as far as they fit: one at least, unless none waits. A key occurs once."""
        found: list[Numbered] = []
        for number, *fields in self._connection().execute(sql("spool_oldest"), (max_rows,)):
            spooled = Spooled(*fields)
            max_bytes -= len(spooled.payload)
            if found and max_bytes < 0:
                break
            found.append(Numbered(number, spooled))
        return found

    def name(self, results: Sequence[Numbered], ids: Sequence[int]) -> list[Numbered]:
        """The same, each with an id; those that were chosen now are on the disk before anybody uses them."""
        fresh = iter(ids)
        named = [
            one
            if one.spooled.id is not None
            else Numbered(one.number, structs.replace(one.spooled, id=next(fresh)))
            for one in results
        ]
        with self._transaction() as connection:
            connection.executemany(sql("spool_name"), [(one.spooled.id, one.number) for one in named])
        return named

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget results that are in the database."""
        with self._transaction() as connection:
            connection.executemany(sql("spool_remove"), [(number,) for number in numbers])

    def put_aside(self, reasons: Sequence[tuple[int, str]]) -> None:
        """Have results wait for a person: number and reason of each."""
        with self._transaction() as connection:
            connection.executemany(sql("spool_put_aside"), [(reason, number) for number, reason in reasons])

    def aside(self, limit: int) -> list[Aside]:
        """What waits for a person, first come first."""
        rows = self._connection().execute(sql("spool_aside"), (limit,))
        return [
            Aside(
                number, received_at, region, job_type, orchestrator, payload.decode(errors="replace"), reason
            )
            for number, received_at, region, job_type, orchestrator, payload, reason in rows
        ]

    def retry(self) -> int:
        """Have what was put aside wait for the database again; how many there were."""
        with self._transaction() as connection:
            return connection.execute(sql("spool_retry")).rowcount

    def depth(self) -> Depth:
        """What is in it."""
        waiting, oldest, aside = self._connection().execute(sql("spool_depth")).fetchone()
        return Depth(waiting, None if oldest is None else oldest / 1e6, aside)

    def used_bytes(self) -> int:
        """How much of its bound is taken."""
        used: int = self._connection().execute(sql("spool_pages")).fetchone()[0]
        return used

    def give_back(self) -> None:
        """Give room back to the disk that an outage took, when that is worth it."""
        if self._connection().execute(sql("spool_pages")).fetchone()[1] > _WORTH_GIVING_BACK_BYTES:
            with suppress(sqlite3.OperationalError):  # another worker is at it
                self._connection().execute("VACUUM")
                self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """One worker at a time stores what is here; whether it is our turn. It ends with us, too."""
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
        """Close it. It is opened again by the next call."""
        connection, self._open = self._open, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.executescript(sql("spool_schema"))
                sync_directory(self.path.parent)
            except BaseException:
                connection.close()
                raise
            self._open = connection
        return self._open

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and on the disk at the end. After a failure the file is opened anew."""
        connection = self._connection()
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self.close()
            raise


def _add(connection: sqlite3.Connection, result: Spooled) -> Refusal | None:
    if connection.execute(sql("spool_add"), structs.astuple(result)).rowcount:
        return None
    [digest] = connection.execute(sql("spool_digest"), (result.key,)).fetchone()
    return None if digest == result.body_digest else KeyReusedError()
