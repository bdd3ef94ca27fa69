"""Failures of the database in words: for clients, who learn nothing of SQL or hosts, and for its operator."""

import re
import socket
import ssl
from typing import NamedTuple

import asyncpg
from msgspec import Struct

NO_ANSWER = "the database did not answer; try again"
NOT_READY = "the database is being brought up to date; try again"
SCHEMA_DIFFERS = "the database's schema was taken back under the server, or is another version's; the server's operator must fix this"
SCHEMA_IS_OLD = (
    "the database has no schema of this server's version; its operator has to run `orchboard migrate up`"
)
NO_PRIVILEGE = "the server's database role lacks a privilege; the server's operator must fix this"
READ_ONLY = "the database is read-only; the server's operator must fix this"
_LOGIN = "the database refuses the server's login; the server's operator must fix this"
_GONE = "the database does not exist; the server's operator must fix this"
_FULL = "the database has no room left; the server's operator must fix this"
_CROWDED = "the database has no connection left; try again"
_STARTING = "the database is starting or stopping; try again"
_BROKEN_TEXT = "the database holds text that is no valid UTF-8; the server's operator must fix this"
_BUSY = "the database took too long; try again"


class Failure(Struct, frozen=True):
    """Why the database does not do what it is asked.

    public_message -- in words for anybody
    summary, remedy -- for its operator, and what to do
    """

    public_message: str
    summary: str
    remedy: str


class _Kind(NamedTuple):
    errors: tuple[type[BaseException], ...]
    pattern: str  # of the error's text
    public_message: str
    summary: str  # with {text}, the error's own
    remedy: str


def explain_failure(error: BaseException) -> Failure:
    """An exception of the driver. Anything unknown keeps its own words for the operator."""
    text = " ".join(str(error).split())
    for kind in _KINDS:
        if isinstance(error, kind.errors) and re.search(kind.pattern, text, re.IGNORECASE):
            return Failure(kind.public_message, kind.summary.format(text=text), kind.remedy)
    says = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return Failure(NO_ANSWER, says, "Check POSTGRES.")


def describe_failure(error: BaseException) -> str:
    """`explain_failure` for the operator, as one text."""
    failure = explain_failure(error)
    return f"{failure.summary}. {failure.remedy}"


# The first match counts, so the particular comes before the general.
_KINDS = (
    _Kind((socket.gaierror,), "", NO_ANSWER, "the host name is unknown (DNS: {text})", "Check the host in POSTGRES."),
    _Kind((ssl.SSLCertVerificationError,), "", NO_ANSWER, "the server's certificate is not trusted: {text}",
          "Name its authority with sslrootcert=… in POSTGRES, or use sslmode=require, which does not check."),
    _Kind((ssl.SSLError,), "", NO_ANSWER, "the TLS handshake failed: {text}", "Check sslmode and the certificates in POSTGRES."),
    _Kind((ConnectionError,), "rejected SSL", NO_ANSWER, "what answers there is a Postgres without TLS, or no Postgres",
          "Check the port; drop sslmode from POSTGRES, or turn ssl on there."),
    _Kind((FileNotFoundError,), "", NO_ANSWER, "there is no socket where POSTGRES says: {text}", "Is Postgres running, and is the path right?"),
    _Kind((OSError,), "Errno 111|Errno 61|refused", NO_ANSWER, "the connection was refused: nothing listens there",
          "Is Postgres running, and are host and port right?"),
    _Kind((ConnectionError,), "takes writes", READ_ONLY, "none of the hosts takes writes", "Promote a standby, or start the primary."),
    _Kind((TimeoutError,), "", NO_ANSWER, "no answer in time", "A firewall may drop the packets, or the server is overloaded."),
    _Kind((OSError,), "Errno 101|Errno 113|Errno 51|Errno 65|unreachable", NO_ANSWER, "the host can't be reached from here",
          "Check the network between here and there."),
    _Kind((asyncpg.InvalidPasswordError,), "", _LOGIN, "the user or the password is wrong ({text})", "Check the user and password in POSTGRES."),
    _Kind((asyncpg.InvalidAuthorizationSpecificationError,), "pg_hba|encryption", _LOGIN, "the server lets this user in from elsewhere only ({text})",
          "Add a line to its pg_hba.conf, or sslmode=require to POSTGRES if it wants TLS."),
    _Kind((asyncpg.InvalidAuthorizationSpecificationError,), "", _LOGIN, "the server refuses this user ({text})", "Check the user in POSTGRES."),
    _Kind((asyncpg.InvalidCatalogNameError,), "", _GONE, "the server answers, but the database does not exist ({text})",
          "`orchboard migrate up` makes it if the user may; otherwise CREATE DATABASE."),
    _Kind((asyncpg.TooManyConnectionsError,), "", _CROWDED, "the server has no connection left ({text})",
          "Lower DB_CONNECTIONS, raise max_connections there, or put a pooler between."),
    _Kind((asyncpg.CannotConnectNowError,), "", _STARTING, "the server is starting or stopping ({text})", "Try again in a moment."),
    _Kind((asyncpg.InsufficientPrivilegeError,), "", NO_PRIVILEGE, "the user may not do that ({text})",
          "GRANT it, or use the owner's user. `orchboard doctor` lists what is missing."),
    _Kind((asyncpg.ReadOnlySQLTransactionError,), "", READ_ONLY, "the server is read-only ({text})",
          "Name the primary in POSTGRES, or turn default_transaction_read_only off there."),
    _Kind((asyncpg.DiskFullError, asyncpg.OutOfMemoryError), "", _FULL, "the server has no room left ({text})", "Make room on its disk or in its memory."),
    _Kind((asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError, asyncpg.UndefinedObjectError), "",
          SCHEMA_DIFFERS, "the schema is not the one that this orchboard was made for ({text})",
          "`orchboard migrate version` says where it stands; was it taken back, or is another orchboard newer?"),
    _Kind((asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError), "", _BROKEN_TEXT,
          "a stored text is no valid UTF-8 ({text})", "Find and correct it: a database in SQL_ASCII takes any bytes, and another program wrote these."),
    _Kind((asyncpg.InvalidSchemaNameError,), "", SCHEMA_DIFFERS, "the search_path names no schema that exists ({text})", "Check search_path, in POSTGRES and of the role."),
    _Kind((asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError), "", _BUSY, "a statement took too long ({text})", "Look for long locks in pg_stat_activity."),
    _Kind((asyncpg.ClientConfigurationError, ValueError), "", NO_ANSWER, "POSTGRES can't be read: {text}", "Check the URL."),
)  # fmt: skip
