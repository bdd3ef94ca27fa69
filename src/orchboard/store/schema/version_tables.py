"""The two tables that record the schema's version: `schema_migrations` for versions 1 to 3, `orchboard_migrations` from 4.

The reference server does not start if its table, `schema_migrations`, has a number that it does not know, and both
servers must run on one database during a move (docs/decisions/0003-migrations.md).

Call these functions in a transaction: a pooler in transaction mode could otherwise send the Parse and the Execute of a
statement to different servers.
"""

import zlib
from urllib.parse import quote

from msgspec import Struct

from orchboard.errors import SetupError
from orchboard.store.connection.types import Connection

LAST_SHARED = 3
REFERENCE_TABLE = "schema_migrations"
OWN_TABLE = "orchboard_migrations"

# `events` comes first: each to_regclass has its own snapshot, and a migration that commits in between must not look
# like a table `events` without a version table.
_TABLES = """
SELECT current_schema() AS schema, current_database() AS database,
       to_regclass(quote_ident(current_schema()) || '.events') IS NOT NULL AS events,
       to_regclass(quote_ident(current_schema()) || '.schema_migrations') IS NOT NULL AS reference,
       to_regclass(quote_ident(current_schema()) || '.orchboard_migrations') IS NOT NULL AS own,
       to_regclass('pg_catalog.pg_dist_local_group') IS NOT NULL AS has_citus
"""

_IS_WORKER = "SELECT groupid <> 0 FROM pg_catalog.pg_dist_local_group"

# Other schemas with the tables of a leaderboard that this role may read. No row if the search_path is set in the URL, for
# the role or for the database: then the current schema is intended.
_OTHER_SCHEMAS = """
SELECT quote_ident(n.nspname) AS schema, EXISTS (
    SELECT FROM pg_class
    WHERE relnamespace = n.oid AND relname = 'events_before' AND has_table_privilege(oid, 'SELECT')
) AS has_legacy_table
FROM pg_namespace n
WHERE n.nspname <> current_schema() AND has_schema_privilege(n.oid, 'USAGE')
AND (
    SELECT count(*) FROM pg_class
    WHERE relnamespace = n.oid AND relname IN ('events', 'regions', 'job_types') AND relkind = 'r'
    AND has_table_privilege(oid, 'SELECT')
) = 3
AND (SELECT source FROM pg_settings WHERE name = 'search_path')
IN ('default', 'environment variable', 'configuration file', 'command line')
ORDER BY n.nspname
"""


class SchemaVersion(Struct, frozen=True):
    """The version of a schema; 0 if it is empty. `dirty`: the migration to this version did not finish."""

    version: int
    dirty: bool


class Obstacle(Struct, frozen=True):
    """Why no migration can run, and how an operator resolves it."""

    message: str
    remedy: str


class VersionTables(Struct, frozen=True):
    """The content of both version tables.

    has_events -- whether the table `events` exists, whichever program created it
    reference, own -- the row of each table; None if the table or the row is missing
    other_schema -- if this schema is empty: another schema, quoted, with a leaderboard that has results
    """

    schema: str
    database: str
    has_events: bool
    reference: SchemaVersion | None
    own: SchemaVersion | None
    other_schema: str | None = None

    @property
    def shared(self) -> int:
        """The reference's version, at most 3: version 4 of a newer reference server is not our version 4."""
        return max(0, min(self.reference.version, LAST_SHARED)) if self.reference else 0

    @property
    def current(self) -> SchemaVersion:
        """The version of the schema: that of our table if it has a row; dirty if either table is."""
        dirty = any(table.dirty for table in (self.reference, self.own) if table)
        return SchemaVersion(self.own.version if self.own else self.shared, dirty)

    def obstacle(self, known: int) -> Obstacle | None:
        """Why no migration can run, up or down; None if one can.

        known -- the latest version of this program
        """
        if self.other_schema:
            return Obstacle(
                f"the schema {self.schema}, which POSTGRES selects, is empty, but the schema {self.other_schema} has a "
                "leaderboard with results",
                f"{search_path_advice(self.other_schema)} To start a new leaderboard in {self.schema}, name that schema "
                "in this way.",
            )
        if self.own and self.shared < LAST_SHARED:
            return self._reverted_by_golang_migrate(self.own)
        if not self.current.dirty:
            return None
        version = self.current.version
        if version > known:
            return Obstacle(
                f"version {version} was begun by a newer orchboard and never finished",
                "Start the newer orchboard again to finish it.",
            )
        if self.reference and self.reference.dirty and self.reference.version < 1:
            found = LAST_SHARED if self.has_events else 0
            return Obstacle(
                f"reverting version 1 was begun by golang-migrate and never finished ({REFERENCE_TABLE})",
                f"Run `orchboard migrate force {found}`: the schema is at version {found}.",
            )
        return Obstacle(
            f"version {version} was begun and never finished",
            f"Check whether its objects exist: run `orchboard migrate force {version}` if they do, "
            f"`orchboard migrate force {max(version - 1, 0)}` if not.",
        )

    def _reverted_by_golang_migrate(self, own: SchemaVersion) -> Obstacle:
        """The obstacle after golang-migrate's `down` on our schema.

        It goes down to 1 without a change, as the reference's versions 2 and 3 have no down migration. The down migration
        of version 1 is one transaction. It fails from our version 6 on, as the view `results` depends on `events`.
        """
        shared = self.reference.version if self.reference else 0
        message = (
            f"the version tables disagree: {OWN_TABLE} has {own.version}, {REFERENCE_TABLE} has {shared}"
        )
        if self.has_events:
            version = own.version - 1 if own.dirty else own.version
            return Obstacle(
                f"{message}. golang-migrate went down on this database; the tables are still there",
                f"Run `orchboard migrate force {version}` to continue as before. To remove everything, run `orchboard "
                "migrate goto 0` after it.",
            )
        return Obstacle(
            f"{message}, and there is no table `events`: golang-migrate or another program dropped it",
            f"Restore a backup into an empty database. Or, to start anew, drop what is left: `DROP TABLE {OWN_TABLE}, "
            "idempotency_keys; DROP FUNCTION payload_number;` after version 4 or 5.",
        )

    def lock_key(self, table: str) -> int:
        """The key of the advisory lock that golang-migrate takes for a version table.

        golang-migrate hashes the path of the database's URL, including its slash.
        """
        return zlib.crc32(f"{self.schema}\0{table}\0/{self.database}".encode()) * 1486364155 % 2**32


async def fetch_version_tables(connection: Connection) -> VersionTables:
    """Read both version tables.

    Raises SetupError if the search_path names no existing schema, and on a worker of a Citus cluster, which has some of the tables
    of the coordinator.
    """
    found = await connection.fetchrow(_TABLES)
    assert found is not None  # noqa: S101 - a SELECT without FROM returns one row
    if found["schema"] is None:
        raise SetupError("the search_path of this database and role names no schema that exists")
    if found["has_citus"] and await connection.fetchval(_IS_WORKER):
        raise SetupError(
            "POSTGRES is a worker of a Citus cluster: set it to the coordinator, which has the schema"
        )
    reference = await _fetch(connection, REFERENCE_TABLE) if found["reference"] else None
    own = await _fetch(connection, OWN_TABLE) if found["own"] else None
    is_empty = not (found["events"] or reference or own)
    other_schema = await _fetch_leaderboard_schema(connection) if is_empty else None
    return VersionTables(found["schema"], found["database"], found["events"], reference, own, other_schema)


async def fetch_other_schema(connection: Connection) -> str | None:
    """Another schema, quoted, that has a leaderboard with results. None if there is none or this schema has results."""
    if await connection.fetchval("SELECT has_table_privilege(to_regclass('results'), 'SELECT')") and (
        await connection.fetchval("SELECT EXISTS (SELECT 1 FROM results LIMIT 1)")
    ):
        return None
    return await _fetch_leaderboard_schema(connection)


async def _fetch_leaderboard_schema(connection: Connection) -> str | None:
    for schema, has_legacy_table in await connection.fetch(_OTHER_SCHEMAS):
        for table in ("events", "events_before") if has_legacy_table else ("events",):
            if await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM {schema}.{table} LIMIT 1)"):  # noqa: S608 - quoted
                return str(schema)
    return None


def search_path_advice(schema: str) -> str:
    """A sentence that tells how to select a schema: in POSTGRES or for the role."""
    option = quote("-csearch_path=" + schema.replace("\\", "\\\\").replace(" ", "\\ "))
    return f"Add `options={option}` to the parameters of POSTGRES, or run ALTER ROLE … SET search_path = {schema}."


async def _fetch(connection: Connection, table: str) -> SchemaVersion | None:
    row = await connection.fetchrow(f"SELECT version, dirty FROM {table}")  # noqa: S608 - one of two constants
    return None if row is None else SchemaVersion(row["version"], row["dirty"])


async def record_version(connection: Connection, version: int, *, dirty: bool) -> None:
    """Write the schema's version into the tables.

    Below version 4 our table is dropped; at 0 the reference's is empty. The reference's row is not written if it has the
    value already, or a clean version above 3.
    """
    before = await fetch_version_tables(connection)
    shared, shared_dirty = min(version, LAST_SHARED), dirty and version <= LAST_SHARED
    was_dirty = before.reference is not None and before.reference.dirty
    if (before.shared, was_dirty) != (shared, shared_dirty):
        await _write(connection, REFERENCE_TABLE, shared, dirty=shared_dirty)
    if version > LAST_SHARED:
        await _write(connection, OWN_TABLE, version, dirty=dirty)
    else:
        await connection.execute(f"DROP TABLE IF EXISTS {OWN_TABLE}")


async def _write(connection: Connection, table: str, version: int, *, dirty: bool) -> None:
    await connection.execute(
        f"CREATE TABLE IF NOT EXISTS {table} (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)"
    )
    # golang-migrate uses TRUNCATE. DELETE has the same result and does not wait for readers.
    await connection.execute(f"DELETE FROM {table}")  # noqa: S608 - one of two constants
    if version or dirty:
        await connection.execute(f"INSERT INTO {table} VALUES ($1, $2)", version, dirty)  # noqa: S608 - as above
