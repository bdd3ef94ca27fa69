"""What an error of Postgres is about: the rows of a statement, or everybody. For the writer and the replay alike."""

from typing import TypeGuard

import asyncpg
import structlog

from orchboard.errors import BadInputError, DatabaseUnavailableError, Refusal
from orchboard.store.connection.types import Connection
from orchboard.store.postgres.database import error_summary, unavailable
from orchboard.store.sql_files import sql

log = structlog.get_logger(__name__)


# Classes of SQLSTATEs that no row causes: features (a cached plan of an older schema, too), transaction states (a
# standby is read-only), prepared statements, logins, databases and schemas that are not there, deadlocks and
# serialization, resources (disk, memory, connections), object states (locks), operators, the system, its configuration.
_EVERYBODY = frozenset({"08", "0A", "25", "26", "28", "3D", "3F", "40", "53", "55", "57", "58", "F0"})

# A copy of a stored result violates these by itself.
_CONFLICTS = (asyncpg.UniqueViolationError, asyncpg.ExclusionViolationError)


class _UndoError(Exception):
    """Ends a transaction that is to leave nothing behind."""


def is_refusal(error: BaseException) -> TypeGuard[asyncpg.PostgresError]:
    """Whether a statement was refused and undone, over a connection that is still there, maybe because of a row.

    By what Postgres itself says, or a trigger, a policy, a constraint that somebody added. Whether a row is the reason
    is seen when it is alone: `is_about_row`.
    """
    return (
        isinstance(error, asyncpg.PostgresError)
        and getattr(error, "severity", None) not in ("FATAL", "PANIC")
        and not isinstance(error, asyncpg.PostgresConnectionError)
        and (error.sqlstate or "")[:2] not in _EVERYBODY
    )


async def is_about_row(connection: Connection, error: asyncpg.PostgresError) -> bool | None:
    """Whether a refusal of a single row is that row's fault; None when that can't be told yet.

    The newest stored result is inserted again and undone: refused too, the table takes nothing from anybody (a
    privilege was revoked, a trigger stops all writes). None where no result is stored to try it with.
    Raises what a connection that is lost raises.
    """
    if isinstance(error, _CONFLICTS):
        return True
    try:
        async with connection.transaction():
            copied = await connection.fetch(sql("insert_copy"))
            raise _UndoError
    except _UndoError:
        pass
    except asyncpg.PostgresError as refused:
        if not is_refusal(refused):
            raise
        return False
    return True if copied else None


def refusal_of(error: asyncpg.PostgresError) -> Refusal:
    """What the sender of a refused result is told where it can't be kept aside; the error goes to the log."""
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return DatabaseUnavailableError("the region was just removed; try again")
    if isinstance(error, asyncpg.DataError | asyncpg.ProgramLimitExceededError):
        log.warning("result refused by the database", error=error_summary(error))
        return BadInputError("the result contains data that can't be stored")
    return unavailable(error)
