"""Whether an error of Postgres concerns the rows of a statement or all statements. Used by the writer and the replay."""

from typing import TypeGuard

import asyncpg
import structlog

from orchboard.errors import BadInputError, DatabaseUnavailableError, Refusal
from orchboard.store.connection.failures import error_summary, unavailable
from orchboard.store.connection.types import Connection
from orchboard.store.sql_files import sql

log = structlog.get_logger(__name__)


# SQLSTATE classes that no row causes: connections, unsupported features (also a cached plan of an older schema),
# transaction states (a standby is read-only), prepared statements, logins, missing databases and schemas, deadlocks and
# serialization, resources (disk, memory, connections), object states (locks), operator actions, system and configuration.
_NOT_ABOUT_ROWS = frozenset({"08", "0A", "25", "26", "28", "3D", "3F", "40", "53", "55", "57", "58", "F0"})

# Errors that a copy of a stored result causes itself.
_CONFLICTS = (asyncpg.UniqueViolationError, asyncpg.ExclusionViolationError)


class _RollbackError(Exception):
    """Rolls back a transaction."""


def is_refusal(error: BaseException) -> TypeGuard[asyncpg.PostgresError]:
    """Whether Postgres refused a statement, perhaps because of a row, and rolled it back; the connection is intact.

    The refusal may come from Postgres itself, or from a trigger, policy or constraint that somebody added. For a single row,
    `is_about_row` tells whether the row is the cause.
    """
    return (
        isinstance(error, asyncpg.PostgresError)
        and getattr(error, "severity", None) not in ("FATAL", "PANIC")
        and not isinstance(error, asyncpg.PostgresConnectionError)
        and (error.sqlstate or "")[:2] not in _NOT_ABOUT_ROWS
    )


async def is_about_row(connection: Connection, error: asyncpg.PostgresError) -> bool | None:
    """Whether the refusal of a single row is caused by that row; None when the table has no result to compare with.

    Inserts a copy of the newest stored result and rolls back. If Postgres refuses that too, the table accepts no rows at all:
    a privilege was revoked, or a trigger blocks all writes.
    Raises the errors of a lost connection.
    """
    if isinstance(error, _CONFLICTS):
        return True
    try:
        async with connection.transaction():
            copied = await connection.fetch(sql("insert_copy"))
            raise _RollbackError
    except _RollbackError:
        pass
    except asyncpg.PostgresError as refused:
        if not is_refusal(refused):
            raise
        return False
    return True if copied else None


def refusal_of(error: asyncpg.PostgresError) -> Refusal:
    """The error that the sender of a refused result gets where there is no spool. Logs the cause."""
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return DatabaseUnavailableError("the region was just removed; try again")
    if isinstance(error, asyncpg.DataError | asyncpg.ProgramLimitExceededError):
        log.warning("result refused by the database", error=error_summary(error))
        return BadInputError("the result contains data that can't be stored")
    return unavailable(error)
