"""What is wrong with a database, in words: why it can't be reached, and what it holds when it can."""

import asyncio
import re
import socket
import ssl
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeAlias

import asyncpg
from msgspec import Struct

from orchboard.store.conninfo import resolve
from orchboard.store.database import Database
from orchboard.store.queries import sql
from orchboard.store.takeover import fetch_progress

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

OLDEST_MAJOR = 15
SKEW_WARNING_S = 2.0
SKEW_ERROR_S = 300.0
QUIET_WARNING_S = 86400.0


class Level(StrEnum):
    """How bad a finding is: an error keeps the server from working, a warning may surprise."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Finding(Struct, frozen=True):
    """One thing that was looked at. `remedy` is empty when there is nothing to do."""

    level: Level
    about: str
    says: str
    remedy: str = ""


class Failure(Struct, frozen=True):
    """Why the database can't be reached, and what to do."""

    says: str
    remedy: str


def explain_failure(error: BaseException) -> Failure:
    """An exception of the driver, for an operator. Anything unknown keeps its own words."""
    text = " ".join(str(error).split())
    for kinds, pattern, says, remedy in _FAILURES:
        if isinstance(error, kinds) and re.search(pattern, text, re.IGNORECASE):
            return Failure(says.format(text=text), remedy)
    return Failure(f"{type(error).__name__}: {text}" if text else type(error).__name__, "Check POSTGRES.")


def describe_failure(error: BaseException) -> str:
    """`explain_failure` as one sentence."""
    failure = explain_failure(error)
    return f"{failure.says}. {failure.remedy}"


# First match wins, so the particular comes before the general.
_FAILURES: tuple[tuple[tuple[type[BaseException], ...], str, str, str], ...] = (
    ((socket.gaierror,), "", "the host name is unknown (DNS: {text})", "Check the host in POSTGRES."),
    ((ssl.SSLCertVerificationError,), "", "the server's certificate is not trusted: {text}",
     "Name its authority with sslrootcert=… in POSTGRES, or use sslmode=require, which does not check."),
    ((ssl.SSLError,), "", "the TLS handshake failed: {text}", "Check sslmode and the certificates in POSTGRES."),
    ((ConnectionError,), "rejected SSL", "what answers there is a Postgres without TLS, or no Postgres", "Check the port; drop sslmode from POSTGRES, or turn ssl on there."),
    ((FileNotFoundError,), "", "there is no socket where POSTGRES says: {text}", "Is Postgres running, and is the path right?"),
    ((OSError,), "Errno 111|Errno 61|refused", "the connection was refused: nothing listens there",
     "Is Postgres running, and are host and port right?"),
    ((TimeoutError,), "", "no answer in time", "A firewall may drop the packets, or the server is overloaded."),
    ((OSError,), "Errno 101|Errno 113|Errno 51|Errno 65|unreachable", "the host can't be reached from here",
     "Check the network between here and there."),
    ((asyncpg.InvalidPasswordError,), "", "the user or the password is wrong ({text})", "Check the user and password in POSTGRES."),
    ((asyncpg.InvalidAuthorizationSpecificationError,), "pg_hba|encryption", "the server lets this user in from elsewhere only ({text})",
     "Add a line to its pg_hba.conf, or sslmode=require to POSTGRES if it wants TLS."),
    ((asyncpg.InvalidAuthorizationSpecificationError,), "", "the server refuses this user ({text})", "Check the user in POSTGRES."),
    ((asyncpg.InvalidCatalogNameError,), "", "the server answers, but the database does not exist ({text})",
     "`orchboard migrate up` makes it if the user may; otherwise CREATE DATABASE."),
    ((asyncpg.TooManyConnectionsError,), "", "the server has no connection left ({text})",
     "Lower DB_CONNECTIONS, raise max_connections there, or put a pooler between."),
    ((asyncpg.CannotConnectNowError,), "", "the server is starting or stopping ({text})", "Try again in a moment."),
    ((asyncpg.InsufficientPrivilegeError,), "", "the user may not do that ({text})", "GRANT it, or use the owner's user."),
    ((asyncpg.ClientConfigurationError, ValueError), "", "POSTGRES can't be read: {text}", "Check the URL."),
)  # fmt: skip


async def diagnose(database: Database, url: str, *, timeout_s: float) -> list[Finding]:
    """What the database says about itself. Changes nothing and creates nothing.

    timeout_s -- of each question
    """
    try:
        async with asyncio.timeout(timeout_s):
            connection = await database.connect()
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        failure = explain_failure(error)
        missing = isinstance(error, asyncpg.InvalidCatalogNameError)
        level = Level.WARNING if missing else Level.ERROR
        return [Finding(level, "database", failure.says, failure.remedy)]
    findings = [Finding(Level.OK, "database", "answers")]
    try:
        for question in (_ask_server, _ask_schema, _ask_takeover, _ask_contents):
            try:
                async with asyncio.timeout(timeout_s):
                    findings += await question(database, connection, url)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                findings.append(
                    Finding(
                        Level.WARNING,
                        "database",
                        f"not all of it could be read: {explain_failure(error).says}",
                    )
                )
    finally:
        connection.terminate()
    return findings


async def _ask_server(_: Database, connection: Connection, url: str) -> list[Finding]:
    asked_at = datetime.now(UTC)
    [row] = await connection.fetch(sql("diagnosis_server"))
    skew_s = ((row["clock"] - asked_at) - (datetime.now(UTC) - asked_at) / 2).total_seconds()
    return [
        _version(row["version"], row["major"]),
        _clock(skew_s),
        *([] if row["encrypted"] or _is_near(url) else [_NOT_ENCRYPTED]),
        *([_POOLED] if row["pooled"] else []),
        *([_READ_ONLY] if row["read_only"] else []),
        *([_unsafe(row["unsafe"])] if row["unsafe"] else []),
    ]


def _version(version: str, major: int) -> Finding:
    if major < OLDEST_MAJOR:
        return Finding(
            Level.ERROR, "version", f"PostgreSQL {version} is too old", f"Use {OLDEST_MAJOR} or newer."
        )
    return Finding(Level.OK, "version", f"PostgreSQL {version}")


def _unsafe(off: list[str]) -> Finding:
    says = (
        f"off there: {', '.join(off)}; results that were answered `ok` are lost when that machine loses power"
    )
    return Finding(
        Level.WARNING, "durability", says, "Turn it on again, in postgresql.conf or by ALTER DATABASE."
    )


def _clock(skew_s: float) -> Finding:
    if abs(skew_s) <= SKEW_WARNING_S:
        return Finding(Level.OK, "clock", "the database's and this machine's agree")
    level = Level.ERROR if abs(skew_s) > SKEW_ERROR_S else Level.WARNING
    way = "ahead of" if skew_s > 0 else "behind"
    says = f"the database's is {abs(skew_s):.0f} s {way} this machine's, so windows are off by that"
    return Finding(level, "clock", says, "Run a time daemon (NTP) on both.")


_NOT_ENCRYPTED = Finding(
    Level.WARNING, "encryption", "the connection is not encrypted", "Add sslmode=require to POSTGRES."
)
_POOLED = Finding(
    Level.OK, "pooler", "there is one in between that drops session settings: nothing is prepared by name"
)
_READ_ONLY = Finding(
    Level.ERROR, "writing", "this server is read-only (a standby?)",
    "Name the primary in POSTGRES, or all hosts with target_session_attrs=read-write.",
)  # fmt: skip


def _is_near(url: str) -> bool:
    """Whether the connection stays on this machine, as far as the URL tells."""
    near = ("localhost", "127.0.0.1", "::1")
    return all(host.is_socket or host.target in near for host in resolve(url).hosts)


async def _ask_schema(database: Database, connection: Connection, _: str) -> list[Finding]:
    from orchboard.store.migrate import fetch_schema_version
    from orchboard.store.migration_files import load_migrations

    schema, latest = (await fetch_schema_version(database.connect), len(load_migrations()))
    invalid = [row["name"] for row in await connection.fetch(sql("diagnosis_indexes"))]
    found = [_schema(schema.version, latest, dirty=schema.dirty)]
    if schema.version < latest:
        [rights] = await connection.fetch(sql("diagnosis_privileges"))
        found += _missing_rights(
            rights["role"], rights["schema"], rights["may_create"], rights["owns_events"]
        )
    if invalid:
        says = f"{', '.join(invalid)} is invalid: building it was interrupted"
        found.append(Finding(Level.WARNING, "index", says, f"REINDEX INDEX CONCURRENTLY {invalid[0]};"))
    return found


def _schema(version: int, latest: int, *, dirty: bool) -> Finding:
    if dirty:
        says = f"migration {version} was begun and never finished (dirty)"
        remedy = "Look at what it left, put it right, then `orchboard migrate force VERSION`."
        return Finding(Level.ERROR, "schema", says, remedy)
    if version < latest:
        says = f"at version {version}; this orchboard brings {latest}"
        return Finding(Level.WARNING, "schema", says, "`orchboard serve` or `orchboard migrate up` moves it.")
    if version > latest:
        says = f"at version {version}, newer than this orchboard's {latest}"
        return Finding(Level.WARNING, "schema", says, "Update orchboard here.")
    return Finding(Level.OK, "schema", f"at version {version}, the latest")


def _missing_rights(role: str, schema: str | None, may_create: bool, owns_events: bool) -> list[Finding]:
    """What keeps this role from moving the schema."""
    if schema is None:
        return [Finding(Level.ERROR, "privileges", "the search_path names no schema that exists",
                        f'ALTER ROLE "{role}" SET search_path = public;')]  # fmt: skip
    found = []
    if not may_create:
        says = f"role {role} may not create anything in the schema {schema}, so it can't be brought up"
        found.append(
            Finding(Level.ERROR, "privileges", says, f'GRANT CREATE ON SCHEMA "{schema}" TO "{role}";')
        )
    if not owns_events:
        says = f"role {role} does not own the table events, so it can't add an index to it"
        found.append(Finding(Level.ERROR, "privileges", says, "Let POSTGRES name the table's owner."))
    return found


async def _ask_takeover(_: Database, connection: Connection, __: str) -> list[Finding]:
    if not await connection.fetchval(sql("ping")):
        return []
    progress = await fetch_progress(connection)
    if progress.is_done or not progress.results:
        return [Finding(Level.OK, "summaries", "everything that is over is summed up")]
    remedy = "`orchboard serve` goes on with it in the background, `orchboard migrate up` at once."
    return [Finding(Level.WARNING, "summaries", f"{progress.says}: long windows are slow until then", remedy)]


async def _ask_contents(_: Database, connection: Connection, __: str) -> list[Finding]:
    [rights] = await connection.fetch(sql("diagnosis_privileges"))
    if not rights["has_events"]:
        return []
    [row] = await connection.fetch(sql("diagnosis_contents"))
    found = [
        Finding(Level.OK, "regions", f"{row['regions']} regions, results in {row['size']}")
        if row["regions"]
        else Finding(Level.ERROR, "regions", "there are none, so no result is accepted",
                     "`orchboard region add CODE NAME` adds one."),
        _newest(row["age_s"]),
    ]  # fmt: skip
    if row["mixed_case"]:
        says = f"{row['mixed_case']} have an orchestrator in mixed case, as the reference server writes them"
        found.append(Finding(Level.OK, "results", f"{says}; they are read as lower case"))
    return found


def _newest(age_s: float | None) -> Finding:
    if age_s is None:
        return Finding(
            Level.WARNING, "results", "there are none yet", "`orchboard post --example` stores a first one."
        )
    says = f"the newest came {_age(age_s)} ago"
    if age_s > QUIET_WARNING_S:
        return Finding(Level.WARNING, "results", says, "Do the job testers post here, with this SECRET?")
    return Finding(Level.OK, "results", says)


def _age(age_s: float) -> str:
    for unit, seconds in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if age_s >= 2 * seconds:
            return f"{age_s / seconds:.0f} {unit}"
    return f"{age_s:.0f} seconds"
