"""Errors of the database driver: their classes, public messages for clients, and explanations for the operator."""

import logging
import os
import re
import socket
import ssl
from typing import NamedTuple

import asyncpg
import structlog
from msgspec import Struct

from orchboard.errors import DatabaseUnavailableError

log = structlog.get_logger(__name__)

DATABASE_ERRORS = (OSError, asyncpg.InterfaceError, asyncpg.PostgresError)
"""Errors of a statement or a connection. TimeoutError is an OSError."""

CONNECT_ERRORS = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
)
"""No connection could be opened; a later attempt may succeed."""

CONNECTION_LOST = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
"""The connection was lost with the statement: the server was killed or stopped, or is no longer the primary."""

VALUE_ERRORS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""Postgres refuses the values of a statement; sent again, it refuses them again."""

_ASK_THE_OPERATOR = "contact the operator"

NO_ANSWER = "the database did not answer; try again"
NOT_READY = "the database schema is being migrated; try again"
SCHEMA_DIFFERS = f"the database schema is of another version than the server; {_ASK_THE_OPERATOR}"
SCHEMA_IS_OLD = "the database schema is missing or too old; the operator must run `orchboard migrate up`"
NO_PRIVILEGE = f"the server's database role lacks a privilege; {_ASK_THE_OPERATOR}"
READ_ONLY = f"the database is read-only; {_ASK_THE_OPERATOR}"
_LOGIN = f"the database refuses the server's login; {_ASK_THE_OPERATOR}"
_MISSING = f"the database does not exist; {_ASK_THE_OPERATOR}"
_FULL = f"the database has no room left; {_ASK_THE_OPERATOR}"
_TOO_MANY_CONNECTIONS = "the database has no connection left; try again"
_STARTING = "the database is starting or stopping; try again"
_BROKEN_TEXT = f"the database contains text that is not valid UTF-8; {_ASK_THE_OPERATOR}"
_TIMED_OUT = "the database took too long; try again"


class Failure(Struct, frozen=True):
    """Why the database refused or failed.

    public_message -- for clients: without SQL, hosts or values
    summary, remedy -- for the operator: the cause, and what to do
    """

    public_message: str
    summary: str
    remedy: str


class _Kind(NamedTuple):
    errors: tuple[type[BaseException], ...]
    pattern: str  # of the error's text
    public_message: str
    summary: str  # {text} stands for the error's text
    remedy: str


def explain_failure(error: BaseException) -> Failure:
    """Explain an exception of the driver. An unknown one is summarised as its type and text."""
    text = " ".join(str(error).split())
    for kind in _KINDS:
        if isinstance(error, kind.errors) and re.search(kind.pattern, text, re.IGNORECASE):
            return Failure(kind.public_message, kind.summary.format(text=text), kind.remedy)
    summary = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return Failure(NO_ANSWER, summary, "Check POSTGRES.")


def has_answered(error: BaseException) -> bool:
    """Whether an exception of the driver is a refusal by the database, and not the lack of an answer."""
    return explain_failure(error).public_message not in (NO_ANSWER, _TIMED_OUT)


def describe_failure(error: BaseException) -> str:
    """Summary and remedy of an exception, as one text for the operator."""
    failure = explain_failure(error)
    return f"{failure.summary}. {failure.remedy}"


def unavailable(error: Exception, *, is_standby: bool = False) -> DatabaseUnavailableError:
    """Log one of DATABASE_ERRORS, and return the refusal with its public message.

    is_standby -- whether the primary answers instead: logged at debug
    """
    failure = explain_failure(error)
    level = logging.DEBUG if is_standby else logging.WARNING
    log.log(level, "database unavailable", because=failure.public_message, error=error_summary(error))
    return DatabaseUnavailableError(failure.public_message)


def error_summary(error: Exception) -> str:
    """The type and message of an error, for the log: without hosts, and without the detail in which Postgres quotes a row.

    >>> error_summary(TimeoutError())
    'TimeoutError: it took too long'
    """
    if isinstance(error, TimeoutError) and not error.errno:
        return "TimeoutError: it took too long"
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror):
        return f"{type(error).__name__}: {os.strerror(error.errno) if error.errno else 'several attempts failed'}"
    message = error.message if isinstance(error, asyncpg.PostgresError) else None
    return f"{type(error).__name__}: {message or error}"


# The first match applies, so special cases come before general ones.
_KINDS = (
    _Kind((socket.gaierror,), "", NO_ANSWER, "the host name is unknown (DNS: {text})", "Check the host in POSTGRES."),
    _Kind((ssl.SSLCertVerificationError,), "", NO_ANSWER, "the server's certificate is not trusted: {text}",
          "Name its certificate authority with sslrootcert=… in POSTGRES, or use sslmode=require, which does not verify it."),
    _Kind((ssl.SSLError,), "", NO_ANSWER, "the TLS handshake failed: {text}", "Check sslmode and the certificates in POSTGRES."),
    _Kind((ConnectionError,), "rejected SSL", NO_ANSWER, "the server does not support TLS, or is not Postgres",
          "Check the port; remove sslmode from POSTGRES, or enable ssl on the server."),
    _Kind((FileNotFoundError,), "", NO_ANSWER, "the socket in POSTGRES does not exist: {text}", "Is Postgres running, and is the path right?"),
    _Kind((OSError,), "Errno 111|Errno 61|refused", NO_ANSWER, "the connection was refused: no server listens on that port",
          "Is Postgres running, and are host and port right?"),
    _Kind((ConnectionError,), "accepts writes", READ_ONLY, "none of the hosts accepts writes", "Promote a standby, or start the primary."),
    _Kind((TimeoutError,), "", NO_ANSWER, "no answer in time", "A firewall may drop the packets, or the server is overloaded."),
    _Kind((OSError,), "Errno 101|Errno 113|Errno 51|Errno 65|unreachable", NO_ANSWER, "the host is unreachable",
          "Check the network between this machine and the database."),
    _Kind((asyncpg.InvalidPasswordError,), "", _LOGIN, "the user or the password is wrong ({text})", "Check the user and password in POSTGRES."),
    _Kind((asyncpg.InvalidAuthorizationSpecificationError,), "pg_hba|encryption", _LOGIN, "the server does not accept this user from this address ({text})",
          "Add a line to its pg_hba.conf, or sslmode=require to POSTGRES if it wants TLS."),
    _Kind((asyncpg.InvalidAuthorizationSpecificationError,), "", _LOGIN, "the server refuses this user ({text})", "Check the user in POSTGRES."),
    _Kind((asyncpg.InvalidCatalogNameError,), "", _MISSING, "the server answers, but the database does not exist ({text})",
          "`orchboard migrate up` creates it if the user has the privilege; otherwise run CREATE DATABASE."),
    _Kind((asyncpg.PostgresConnectionError,), "remote node|could not connect to", NO_ANSWER, "a node of the Citus cluster does not answer ({text})",
          "Start it. `orchboard doctor` names those that do not answer."),
    _Kind((asyncpg.TooManyConnectionsError,), "", _TOO_MANY_CONNECTIONS, "the server has no connection left ({text})",
          "Lower DB_CONNECTIONS, raise max_connections on the server, or use a connection pooler."),
    _Kind((asyncpg.CannotConnectNowError,), "", _STARTING, "the server is starting or stopping ({text})", "Try again in a moment."),
    _Kind((asyncpg.InsufficientPrivilegeError,), "", NO_PRIVILEGE, "the user lacks a privilege ({text})",
          "GRANT it, or connect as the owner. `orchboard doctor` lists what is missing."),
    _Kind((asyncpg.ReadOnlySQLTransactionError,), "", READ_ONLY, "the server is read-only ({text})",
          "Name the primary in POSTGRES, or turn off default_transaction_read_only on the server."),
    _Kind((asyncpg.DiskFullError, asyncpg.OutOfMemoryError), "", _FULL, "the server has no room left ({text})", "Free space on its disk or in its memory."),
    _Kind((asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError, asyncpg.UndefinedObjectError), "",
          SCHEMA_DIFFERS, "the schema is not the one that this version of orchboard requires ({text})",
          "`orchboard migrate version` shows its version. It may have been migrated down, or up by a newer orchboard."),
    _Kind((asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError), "", _BROKEN_TEXT,
          "a stored text is not valid UTF-8 ({text})", "Find and correct it: a database in SQL_ASCII accepts any bytes, and another program wrote these."),
    _Kind((asyncpg.InvalidSchemaNameError,), "", SCHEMA_DIFFERS, "the search_path names no schema that exists ({text})", "Check search_path, in POSTGRES and of the role."),
    _Kind((asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError), "", _TIMED_OUT, "a statement took too long ({text})", "Look for long locks in pg_stat_activity."),
    _Kind((asyncpg.ClientConfigurationError, ValueError), "", NO_ANSWER, "POSTGRES can't be read: {text}", "Check the URL."),
)  # fmt: skip
