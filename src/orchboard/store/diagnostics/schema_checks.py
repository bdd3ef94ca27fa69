"""Checks of the schema: version, privileges, indexes, triggers."""

from typing import TYPE_CHECKING

from orchboard.store.connection.types import Connection
from orchboard.store.sql_files import sql

if TYPE_CHECKING:
    from orchboard.store.schema.version_tables import VersionTables


from orchboard.store.diagnostics.findings import Finding, Level


async def check_schema(connection: Connection, _: str) -> list[Finding]:
    """The version of the schema, and privileges, indexes and triggers that are missing."""
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
