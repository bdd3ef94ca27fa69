"""The checks of `orchboard doctor` on a database, and their findings as sentences for an operator."""

import asyncio
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import asyncpg
from msgspec import Struct

from orchboard.store.connection.conninfo import resolve
from orchboard.store.connection.encoding import UTF8, encoding_of
from orchboard.store.connection.failures import explain_failure
from orchboard.store.connection.types import Connection
from orchboard.store.legacy_import.backfill import fetch_progress
from orchboard.store.postgres.database import Database
from orchboard.store.sql_files import sql

if TYPE_CHECKING:
    from orchboard.store.schema.version_tables import VersionTables


OLDEST_MAJOR = 15
SKEW_WARNING_S = 2.0
SKEW_ERROR_S = 300.0
QUIET_WARNING_S = 86400.0


class Level(StrEnum):
    """The severity of a finding. An error keeps the server from working."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Finding(Struct, frozen=True, rename={"message": "says"}):
    """The result of a check. In JSON, `message` is named `says`. remedy -- empty if there is nothing to do"""

    level: Level
    about: str
    message: str
    remedy: str = ""


async def diagnose(
    database: Database, url: str, *, timeout_s: float, scores_any_name: bool = False
) -> list[Finding]:
    """Run all checks. Changes nothing.

    url -- of the database; timeout_s -- for each check
    scores_any_name -- whether orchestrators without an Ethereum address get scores: the check for such names is skipped
    """
    try:
        async with asyncio.timeout(timeout_s):
            connection = await database.connect()
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        failure = explain_failure(error)
        missing = isinstance(error, asyncpg.InvalidCatalogNameError)
        level = Level.WARNING if missing else Level.ERROR
        return [Finding(level, "database", failure.summary, failure.remedy)]
    findings = [Finding(Level.OK, "database", "answers")]
    try:
        checks = [_check_server, _check_schema, _check_rollups, _check_contents]
        for check in checks if scores_any_name else [*checks, _check_names]:
            try:
                async with asyncio.timeout(timeout_s):
                    findings += await check(connection, url)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                findings.append(
                    Finding(
                        Level.WARNING,
                        "database",
                        f"not all checks could be run: {explain_failure(error).summary}",
                    )
                )
    finally:
        connection.terminate()
    return findings


async def _check_server(connection: Connection, url: str) -> list[Finding]:
    asked_at = datetime.now(UTC)
    [row] = await connection.fetch(sql("diagnosis_server"))
    skew_s = ((row["clock"] - asked_at) - (datetime.now(UTC) - asked_at) / 2).total_seconds()
    return [
        _version(row["version"], row["major"]),
        _clock(skew_s),
        *([] if (encoding := encoding_of(connection)) == UTF8 else [_encoding(encoding)]),
        *([] if row["encrypted"] or _is_local(url) else [_NOT_ENCRYPTED]),
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


def _encoding(encoding: str) -> Finding:
    return Finding(
        Level.WARNING,
        "encoding",
        f"the database's encoding is {encoding}: characters that it lacks are stored as `?`",
        "Create a new database with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0 LOCALE 'C'. Stop all servers, "
        "copy the old one into it with pg_dump, and set POSTGRES to the new one.",
    )


def _unsafe(off: list[str]) -> Finding:
    message = (
        f"turned off: {', '.join(off)}; acknowledged results are lost when the database's machine loses power"
    )
    return Finding(
        Level.WARNING, "durability", message, "Turn it on in postgresql.conf or with ALTER DATABASE."
    )


def _clock(skew_s: float) -> Finding:
    if abs(skew_s) <= SKEW_WARNING_S:
        return Finding(Level.OK, "clock", "the clocks of the database and this machine agree")
    level = Level.ERROR if abs(skew_s) > SKEW_ERROR_S else Level.WARNING
    way = "ahead of" if skew_s > 0 else "behind"
    message = (
        f"the database's clock is {abs(skew_s):.0f} s {way} this machine's, and windows are off by as much"
    )
    return Finding(level, "clock", message, "Run NTP on both machines.")


_NOT_ENCRYPTED = Finding(
    Level.WARNING, "encryption", "the connection is not encrypted", "Add sslmode=require to POSTGRES."
)
_POOLED = Finding(
    Level.OK,
    "pooler",
    "a pooler that resets session settings is in use: named prepared statements are turned off",
)
_READ_ONLY = Finding(
    Level.ERROR, "writing", "this server is read-only (a standby?)",
    "Set POSTGRES to the primary, or to all hosts with target_session_attrs=read-write.",
)  # fmt: skip


def _is_local(url: str) -> bool:
    """Whether all hosts in the URL are this machine."""
    local = ("localhost", "127.0.0.1", "::1")
    return all(host.is_socket or host.target in local for host in resolve(url).hosts)


async def _check_schema(connection: Connection, _: str) -> list[Finding]:
    from orchboard.store.schema.migration_files import load_migrations
    from orchboard.store.schema.version_tables import (
        fetch_other_schema,
        fetch_version_tables,
        search_path_advice,
    )

    async with connection.transaction():
        tables = await fetch_version_tables(connection)
    version, latest = tables.current.version, len(load_migrations())
    invalid = [row["name"] for row in await connection.fetch(sql("diagnosis_indexes"))]
    found = [_schema(tables, latest)]
    if version and (other_schema := await fetch_other_schema(connection)):
        message = f"the schema {tables.schema} has no results, but the schema {other_schema} has a leaderboard with results"
        found.append(Finding(Level.WARNING, "schema", message, search_path_advice(other_schema)))
    if version < latest:
        [rights] = await connection.fetch(sql("diagnosis_privileges"))
        found += _migration_privileges(
            rights["role"], rights["schema"], rights["may_create"], rights["owns_events"]
        )
    else:
        [row] = await connection.fetch(sql("ping"))
        found += [_missing_privilege(privilege, row["role"]) for privilege in row["missing"]]
        if disabled := [row["name"] for row in await connection.fetch(sql("diagnosis_triggers"))]:
            found.append(_disabled_triggers(disabled))
    if invalid:
        message = f"{', '.join(invalid)} is invalid: its creation was interrupted"
        found.append(Finding(Level.WARNING, "index", message, f"REINDEX INDEX CONCURRENTLY {invalid[0]};"))
    return found


def _schema(tables: "VersionTables", latest: int) -> Finding:
    version, schema = tables.current.version, tables.schema
    if obstacle := tables.obstacle(latest):
        return Finding(Level.ERROR, "schema", obstacle.message, obstacle.remedy)
    if version < latest:
        message = f"version {version} in the schema {schema}; this orchboard needs {latest}"
        return Finding(
            Level.WARNING, "schema", message, "`orchboard serve` or `orchboard migrate up` migrates it."
        )
    if version > latest:
        message = f"version {version} in the schema {schema}, newer than this orchboard's {latest}"
        return Finding(Level.WARNING, "schema", message, "Update orchboard.")
    return Finding(Level.OK, "schema", f"version {version}, the latest, in the schema {schema}")


def _missing_privilege(privilege: str, role: str) -> Finding:
    """A privilege, as `ping` names it, that the role needs."""
    grantee = "" if " TO " in privilege else f' TO "{role}"'
    return Finding(
        Level.ERROR, "privileges", f"role {role} lacks {privilege}", f"GRANT {privilege}{grantee};"
    )


def _migration_privileges(
    role: str, schema: str | None, may_create: bool, owns_events: bool
) -> list[Finding]:
    """The privileges that the role lacks to migrate the schema."""
    if schema is None:
        return [Finding(Level.ERROR, "privileges", "the search_path names no schema that exists",
                        f'ALTER ROLE "{role}" SET search_path = public;')]  # fmt: skip
    found = []
    if not may_create:
        message = (
            f"role {role} may not create objects in the schema {schema}, so the schema can't be migrated"
        )
        found.append(
            Finding(Level.ERROR, "privileges", message, f'GRANT CREATE ON SCHEMA "{schema}" TO "{role}";')
        )
    if not owns_events:
        message = f"role {role} does not own the table events, so it can't add an index to it"
        found.append(Finding(Level.ERROR, "privileges", message, "Set POSTGRES to the owner of the table."))
    return found


def _disabled_triggers(names: list[str]) -> Finding:
    message = (
        f"disabled or missing: {', '.join(names)}; scores may lag behind changes made by SQL by some minutes"
    )
    table = names[0].partition(" ON ")[2]
    remedy = (
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {names[0].partition(' ')[0]}; where it is missing, "
        "`orchboard migrate goto 10` and `orchboard migrate up` create it again. Then run `orchboard rollups verify`."
    )
    return Finding(Level.WARNING, "triggers", message, remedy)


async def _check_rollups(connection: Connection, _: str) -> list[Finding]:
    [row] = await connection.fetch(sql("ping"))
    if not row["ready"] or row["missing"]:
        return []
    progress = await fetch_progress(connection)
    if progress.is_done or not progress.results:
        return [Finding(Level.OK, "rollups", "up to date")]
    remedy = "`orchboard serve` continues in the background, `orchboard migrate up` does it now."
    return [
        Finding(Level.WARNING, "rollups", f"{progress.summary}: long windows are slow until then", remedy)
    ]


async def _check_contents(connection: Connection, _: str) -> list[Finding]:
    [rights] = await connection.fetch(sql("diagnosis_privileges"))
    if not rights["has_events"]:
        return []
    [row] = await connection.fetch(sql("diagnosis_contents"))
    found = [
        Finding(Level.OK, "regions", f"{row['regions']} regions, {row['size']} of results")
        if row["regions"]
        else Finding(Level.ERROR, "regions", "there are no regions, so no result is accepted",
                     "Add one with `orchboard region add CODE NAME`."),
        _newest(row["age_s"]),
    ]  # fmt: skip
    if row["mixed_case"]:
        message = f"{row['mixed_case']} results have an orchestrator in mixed case, as the reference server writes it"
        found.append(Finding(Level.OK, "results", f"{message}; it is read as lower case"))
    return found


async def _check_names(connection: Connection, _: str) -> list[Finding]:
    if not await connection.fetchval(sql("ping")):
        return []
    since = datetime.now(UTC) - timedelta(days=1)
    found = []
    for row in await connection.fetch(sql("unnamed_results"), since):
        sender = f"tester {row['tester']}" if row["tester"] else "testers with the shared secret"
        message = (
            f"{row['results']} results of the last day, from {sender}, have an orchestrator that is not an address, such "
            f"as {row['example']!r}: they are stored, but count towards no score"
        )
        remedy = "Correct the tester, or set ORCHESTRATOR_NAMES=any if such names are intended."
        found.append(Finding(Level.WARNING, "results", message, remedy))
    return found


def _newest(age_s: float | None) -> Finding:
    if age_s is None:
        return Finding(
            Level.WARNING, "results", "there are no results yet", "`orchboard post --example` stores one."
        )
    message = f"the newest was received {_age(age_s)} ago"
    if age_s > QUIET_WARNING_S:
        return Finding(
            Level.WARNING,
            "results",
            message,
            "Check that the job testers post to this server with this SECRET.",
        )
    return Finding(Level.OK, "results", message)


def _age(age_s: float) -> str:
    for unit, seconds in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if age_s >= 2 * seconds:
            return f"{age_s / seconds:.0f} {unit}"
    return f"{age_s:.0f} seconds"
