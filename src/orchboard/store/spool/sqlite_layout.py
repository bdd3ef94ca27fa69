"""The layout of the spool's file: its version, its upgrade, and the columns of a submission.

To add a column: add it to COLUMNS, `row_of` and `submission_of`, to `spool_schema.sql`, `spool_add.sql` and `spool_move.sql`;
increase VERSION, and add its `ALTER TABLE` statement to `_UPGRADES`. A test compares the SQL files with COLUMNS.
"""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orchboard.errors import SetupError
from orchboard.results.parse import ParsedStats
from orchboard.results.submission import Submission
from orchboard.stats import JobType
from orchboard.store.sql_files import sql

VERSION = 1
"""The version of the layout, in the file's user_version. Files of the first release have 0."""

COLUMNS = (
    "received_at", "id", "region", "job_type", "orchestrator", "payload", "key", "body_digest", "tester_id",
)  # fmt: skip
"""The columns of table `spooled` that hold a submission."""

# Columns that the first layout lacks, with the statement that adds each, in order.
_UPGRADES = (("tester_id", "spool_upgrade"),)

_OWN_COLUMNS = {"number", "reason"}

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def row_of(submission: Submission) -> tuple[Any, ...]:
    """The values of COLUMNS for a submission that has an `event_time`."""
    parsed, received_at = submission.parsed, submission.event_time
    assert received_at is not None  # noqa: S101 - `spill` sets it
    return (
        to_unix_us(received_at), submission.id, parsed.region, parsed.job_type, parsed.orchestrator, parsed.payload,
        submission.key, submission.body_digest, submission.tester_id,
    )  # fmt: skip


def submission_of(row: sqlite3.Row) -> Submission:
    """The submission in a row. Its pipeline and model are only in the payload."""
    job_type = JobType(row["job_type"])
    return Submission(
        ParsedStats(row["region"], row["orchestrator"], "", "", row["payload"], job_type),
        key=row["key"],
        body_digest=row["body_digest"],
        tester_id=row["tester_id"],
        event_time=from_unix_us(row["received_at"]),
        id=row["id"],
    )


def to_unix_us(when: datetime) -> int:
    """Microseconds since 1970 of an aware datetime."""
    return (when - _EPOCH) // _MICROSECOND


def from_unix_us(unix_us: int) -> datetime:
    """The aware datetime, in UTC, of microseconds since 1970."""
    return _EPOCH + unix_us * _MICROSECOND


def upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Create or upgrade the layout, in one transaction. Raises SetupError for a file that is no spool."""
    if _version_of(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    if _version_of(connection) < VERSION:  # another worker may have upgraded it
        if not _columns_of(connection):
            for statement in sql("spool_schema").split(";\n"):
                connection.execute(statement)
        for added, statement in _UPGRADES:
            if added not in _columns_of(connection):
                connection.execute(sql(statement))
        if missing := {*COLUMNS, *_OWN_COLUMNS} - _columns_of(connection):
            raise SetupError(f"{path} is not a spool of orchboard: it lacks {', '.join(sorted(missing))}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def refuse_newer(connection: sqlite3.Connection, path: Path) -> None:
    """Raise SetupError for a file that a newer version of orchboard wrote."""
    if (version := _version_of(connection)) > VERSION:
        raise SetupError(
            f"{path} was written by a newer version of orchboard (layout {version}; this version supports layout "
            f"{VERSION}) and is left unchanged: run that version, or rename the file"
        )


def require_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raise SetupError for a newer layout, sqlite3.DatabaseError for an older: the file was emptied or replaced."""
    refuse_newer(connection, path)
    if _version_of(connection) < VERSION:
        error = sqlite3.DatabaseError("the spool's file was emptied or replaced while it was open")
        error.sqlite_errorcode = sqlite3.SQLITE_SCHEMA
        raise error


def _version_of(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _columns_of(connection: sqlite3.Connection) -> set[str]:
    return {row[1] for row in connection.execute("PRAGMA table_info(spooled)")}
