"""Checks of the schema: version, privileges, indexes, triggers."""

from typing import TYPE_CHECKING

import asyncpg

from orchboard.store.connection.types import Connection
from orchboard.store.sql_files import sql

if TYPE_CHECKING:
    from orchboard.store.schema.version_tables import VersionTables


from orchboard.store.diagnostics.findings import Finding, Level
from orchboard.store.postgres.privileges import Lacked, fetch_lacked, fetch_lacked_to_prune


async def check_schema(connection: Connection, _: str) -> list[Finding]:
    """The version of the schema, and privileges, indexes and triggers that are missing.

    Only the privileges if the role may not use the schema or read its version.
    """
    from orchboard.store.schema.migration_files import load_migrations
    from orchboard.store.schema.version_tables import (
        fetch_other_schema,
        fetch_version_tables,
        search_path_advice,
    )

    [rights] = await connection.fetch(sql("diagnosis_privileges"))
    if rights["schema"] is None and rights["hidden"]:
        return [_missing_privilege(Lacked(rights["role"], f'USAGE ON SCHEMA "{rights["hidden"]}"'))]
    try:
        async with connection.transaction():
            tables = await fetch_version_tables(connection)
    except asyncpg.InsufficientPrivilegeError:
        if lacked := await fetch_lacked(connection):
            return [_missing_privilege(each) for each in lacked]
        raise
    version, latest = tables.current.version, len(load_migrations())
    invalid = [row["name"] for row in await connection.fetch(sql("diagnosis_indexes"))]
    found = [_schema(tables, latest)]
    if version and (other_schema := await fetch_other_schema(connection)):
        message = f"the schema {tables.schema} has no results, but the schema {other_schema} has a leaderboard with results"
        found.append(Finding(Level.WARNING, "schema", message, search_path_advice(other_schema)))
    if version < latest:
        found += _migration_privileges(
            rights["role"], rights["schema"], rights["may_create"], rights["owns_events"]
        )
    else:
        found += [_missing_privilege(each) for each in await fetch_lacked(connection)]
        if disabled := [row["name"] for row in await connection.fetch(sql("diagnosis_triggers"))]:
            found.append(_disabled_triggers(disabled))
    if invalid:
        message = f"{', '.join(invalid)} is invalid: its creation was interrupted"
        found.append(Finding(Level.WARNING, "index", message, f"REINDEX INDEX CONCURRENTLY {invalid[0]};"))
    return found


async def check_retention(connection: Connection, _: str) -> list[Finding]:
    """The privileges that the role lacks to delete old results and rollups."""
    return [
        Finding(
            Level.WARNING,
            "privileges",
            f"role {lacked.role} lacks {lacked.privilege}, so old results and rollups are not deleted",
            lacked.grant,
        )
        for lacked in await fetch_lacked_to_prune(connection)
    ]


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


def _missing_privilege(lacked: Lacked) -> Finding:
    return Finding(Level.ERROR, "privileges", f"role {lacked.role} lacks {lacked.privilege}", lacked.grant)


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
