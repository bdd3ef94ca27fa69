"""The spool's file: results on a disk of ours, in SQLite, until they are in the database."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct, structs

from orchboard.errors import DatabaseUnavailableError, KeyReusedError, Refusal
from orchboard.store.spool.sqlite_connection import SpoolConnection
from orchboard.store.spool.sqlite_layout import VERSION
from orchboard.store.sql_files import sql

# About what a result takes beside its payload.
ROW_BYTES = 512

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


class DeadLetter(Struct, frozen=True):
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
    dead_letters -- results that could not be stored and wait for a person
    """

    waiting: int
    oldest: float | None
    dead_letters: int

    def age_s(self, now: datetime) -> float:
        """How long the first of them has waited, in seconds; 0 when none waits."""
        return 0.0 if self.oldest is None else max(now.timestamp() - self.oldest, 0.0)


class SpoolFile:
    """One file, from one thread of one process; others may have it open too. What was written is on the disk.

    Any call may raise sqlite3.Error, OSError, or SetupError for a file that a newer version wrote: then nothing of it
    was done, as far as one can know.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._connection = SpoolConnection(path)

    @property
    def is_there(self) -> bool:
        """Whether there is a file, with a name or without."""
        return self._connection.is_open or self.path.exists()

    def add(self, results: Sequence[Spooled]) -> list[Refusal | None]:
        """Keep results; what became of each: None when it is kept, on the disk.

        DatabaseUnavailableError when there is no room, KeyReusedError for a key that is here with another body.
        """

        def add_all(connection: sqlite3.Connection) -> list[Refusal | None]:
            room = self._max_bytes - connection.execute(sql("spool_pages")).fetchone()[0]
            outcomes: list[Refusal | None] = []
            for result in results:
                room -= len(result.payload) + ROW_BYTES
                if room < 0:
                    outcomes.append(
                        DatabaseUnavailableError(
                            "the database is unavailable and the spool is full; try again"
                        )
                    )
                else:
                    outcomes.append(_add(connection, result))
            return outcomes

        return self._connection.write(add_all)

    def try_to_write(self) -> None:
        """Write without a result; raises what `add` would."""
        self._connection.write(lambda connection: connection.execute(f"PRAGMA user_version = {VERSION}"))

    def oldest(self, max_rows: int, max_bytes: int) -> list[Numbered]:
        """The results that came first, as far as they fit: one at least, unless none waits. A key occurs once."""

        def fetch(connection: sqlite3.Connection) -> list[Numbered]:
            found: list[Numbered] = []
            room = max_bytes
            with closing(connection.execute(sql("spool_oldest"), (max_rows,))) as rows:
                for number, *fields in rows:
                    spooled = Spooled(*fields)
                    room -= len(spooled.payload)
                    if found and room < 0:
                        break
                    found.append(Numbered(number, spooled))
            return found

        return self._connection.read(fetch)

    def name(self, results: Sequence[Numbered], ids: Sequence[int]) -> list[Numbered]:
        """The results that still wait, each with the id that the file has for it; `ids` are for those that have none.

        On the disk before anybody uses them. Another worker may have named results, or stored them, meanwhile: then its
        ids hold.
        """
        fresh = iter(ids)

        def name_all(connection: sqlite3.Connection) -> list[Numbered]:
            named = []
            for one in results:
                if one.spooled.id is None:
                    connection.execute(sql("spool_name"), (next(fresh, None), one.number))
                if row := connection.execute(sql("spool_id"), (one.number,)).fetchone():
                    named.append(Numbered(one.number, structs.replace(one.spooled, id=row[0])))
            return named

        return self._connection.write(name_all)

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget results that are in the database."""
        rows = [(number,) for number in numbers]
        self._connection.write(lambda connection: connection.executemany(sql("spool_remove"), rows))

    def dead_letter(self, reasons: Sequence[tuple[int, str]]) -> None:
        """Have results wait for a person: number and reason of each."""
        rows = [(reason, number) for number, reason in reasons]
        self._connection.write(lambda connection: connection.executemany(sql("spool_dead_letter"), rows))

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        """What waits for a person, first come first."""
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
        """Have what was put aside wait for the database again; how many there were."""
        return self._connection.write(lambda connection: connection.execute(sql("spool_retry")).rowcount)

    def depth(self) -> Depth:
        """What is in it."""
        waiting, oldest, aside = self._connection.read(
            lambda connection: connection.execute(sql("spool_depth")).fetchone()
        )
        return Depth(waiting, None if oldest is None else oldest / 1e6, aside)

    def used_bytes(self) -> int:
        """How much of its bound is taken."""
        return self._pages()[0]

    def give_back(self) -> None:
        """Give room back to the disk that an outage took, when that is worth it."""
        if self._pages()[1] > _WORTH_GIVING_BACK_BYTES:
            self._connection.give_back()

    def _pages(self) -> tuple[int, int]:
        """Bytes that are taken, and that are free to be used again."""
        taken, free = self._connection.read(
            lambda connection: connection.execute(sql("spool_pages")).fetchone()
        )
        return taken, free

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """One worker at a time stores what is here; whether it is our turn. It ends with us, too.

        It saves work; that each result is stored once is due to the ids (`name`), also when the lock's file is removed.
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
        """Close it. It is opened again by the next call."""
        self._connection.close()


def _add(connection: sqlite3.Connection, result: Spooled) -> Refusal | None:
    if connection.execute(sql("spool_add"), structs.astuple(result)).rowcount:
        return None
    [digest] = connection.execute(sql("spool_digest"), (result.key,)).fetchone()
    return None if digest == result.body_digest else KeyReusedError()
