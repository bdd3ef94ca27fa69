"""The layout of the spool's file: its version, and how a file of an older one is brought up to date."""

import sqlite3
from pathlib import Path

from orchboard.errors import SetupError
from orchboard.store.sql_files import sql

VERSION = 1
"""In the file's user_version. Files from before it was counted have 0: `spool_upgrade` is for them."""

_COLUMNS = {
    "number", "received_at", "id", "region", "job_type", "orchestrator",
    "payload", "key", "body_digest", "tester_id", "reason",
}  # fmt: skip


def upgrade(connection: sqlite3.Connection, path: Path) -> None:
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
            raise SetupError(f"{path} is no spool of orchboard: it lacks {', '.join(sorted(missing))}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def refuse_newer(connection: sqlite3.Connection, path: Path) -> None:
    """Raise SetupError for a file that a newer version of orchboard wrote."""
    if (version := _version_of(connection)) > VERSION:
        raise SetupError(
            f"{path} was written by a newer version of orchboard (its layout is {version}, this one knows "
            f"{VERSION}): it is left as it is; run that version, or rename the file"
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
