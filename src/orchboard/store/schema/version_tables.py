"""The two ledgers of migrations: the reference server's, up to version 3, and ours from 4 on.

The reference server can't start when its ledger, `schema_migrations`, holds a number that it doesn't
know, and both servers must run on one database during a move (docs/decisions/0003-migrations.md).

Everything here wants to be inside the caller's transaction: behind a pooler in transaction mode a
statement's parse and its execution would otherwise reach two different servers.
"""

import zlib
from urllib.parse import quote

from msgspec import Struct

from orchboard.errors import SetupError
from orchboard.store.connection.types import Connection

LAST_SHARED = 3
REFERENCE_TABLE = "schema_migrations"
OWN_TABLE = "orchboard_migrations"

# `events` first: each is looked up at its own moment, and a version that commits in between must not
# look like an `events` without a ledger.
_FOUND = """
SELECT current_schema() AS schema, current_database() AS database,
       to_regclass(quote_ident(current_schema()) || '.events') IS NOT NULL AS events,
       to_regclass(quote_ident(current_schema()) || '.schema_migrations') IS NOT NULL AS reference,
       to_regclass(quote_ident(current_schema()) || '.orchboard_migrations') IS NOT NULL AS ours
"""

# Schemas beside the current one that hold the tables of a leaderboard which this role may read. None when somebody chose
# the current one: in the URL, or for the role or the database.
_OTHERS = """
SELECT quote_ident(n.nspname) AS schema, EXISTS (
    SELECT FROM pg_class
    WHERE relnamespace = n.oid AND relname = 'events_before' AND has_table_privilege(oid, 'SELECT')
) AS is_moving
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
    """Where the schema stands; 0 is nothing. `dirty`: that version was begun and never finished."""

    version: int
    dirty: bool


class Obstacle(Struct, frozen=True):
    """Why no version can be run, and what a person does about it."""

    says: str
    remedy: str


class VersionTables(Struct, frozen=True):
    """What both ledgers say; None where there is no row. `has_events`: whoever made that table.

    elsewhere -- another schema, quoted, that holds a leaderboard with results, where this one holds nothing
    """

    schema: str
    database: str
    has_events: bool
    reference: SchemaVersion | None
    ours: SchemaVersion | None
    other_schema: str | None = None

    @property
    def shared(self) -> int:
        """The reference's version, at most 3: a newer reference server's 4 is not our 4."""
        return max(0, min(self.reference.version, LAST_SHARED)) if self.reference else 0

    @property
    def current(self) -> SchemaVersion:
        """The version that counts: ours if there is one; dirty if either is."""
        dirty = any(table.dirty for table in (self.reference, self.ours) if table)
        return SchemaVersion(self.ours.version if self.ours else self.shared, dirty)

    def obstacle(self, known: int) -> Obstacle | None:
        """Why no version can be run, up or down; None when one can.

        known -- the last version that this program has
        """
        if self.other_schema:
            return Obstacle(
                f"there is nothing in the schema {self.schema}, which POSTGRES leads to, but a leaderboard with results "
                f"in the schema {self.other_schema}",
                f"{search_path_advice(self.other_schema)} To begin anew in {self.schema}, name that one so.",
            )
        if self.ours and self.shared < LAST_SHARED:
            return self._taken_back(self.ours)
        if not self.current.dirty:
            return None
        version = self.current.version
        says = f"version {version} was begun and never finished"
        if version > known:
            return Obstacle(
                f"version {version} was begun by a newer orchboard and never finished",
                "Start that one again to end it.",
            )
        if self.reference and self.reference.dirty and self.reference.version < 1:
            says = (
                f"taking back version 1 was begun by golang-migrate, and never finished ({REFERENCE_TABLE})"
            )
            found = LAST_SHARED if self.has_events else 0
            return Obstacle(says, f"`orchboard migrate force {found}`: that is what is there.")
        return Obstacle(
            says,
            f"Look whether its objects are there: `orchboard migrate force {version}` if they are, "
            f"`orchboard migrate force {max(version - 1, 0)}` if not.",
        )

    def _taken_back(self, ours: SchemaVersion) -> Obstacle:
        """What golang-migrate's `down` leaves of our schema.

        It goes down to 1 without changing anything, as the reference has no way down from 2 and 3. The way down from 1
        is one transaction: from our version 6 on it fails, as the view `results` depends on `events`.
        """
        shared = self.reference.version if self.reference else 0
        says = f"the ledgers disagree: {OWN_TABLE} says {ours.version}, {REFERENCE_TABLE} says {shared}"
        if self.has_events:
            version = ours.version - 1 if ours.dirty else ours.version
            return Obstacle(
                f"{says}: golang-migrate was told to go down on it. The tables are still there",
                f"`orchboard migrate force {version}`, and all is as before. To remove it all, `orchboard migrate goto 0` "
                "after that.",
            )
        return Obstacle(
            f"{says}, and there is no table `events`: golang-migrate, or somebody, dropped it",
            f"Restore a backup into an empty database; or, to begin anew, drop what is left: `DROP TABLE {OWN_TABLE}, "
            "idempotency_keys; DROP FUNCTION payload_number;` after version 4 or 5.",
        )

    def key(self, table: str) -> int:
        """The advisory lock that golang-migrate takes for this ledger, if its database came by URL.

        The slash is there because it hashes the path of the URL as it stands.
        """
        return zlib.crc32(f"{self.schema}\0{table}\0/{self.database}".encode()) * 1486364155 % 2**32


async def fetch_version_tables(connection: Connection) -> VersionTables:
    """Both ledgers. Raises SetupError when the search_path leads nowhere."""
    found = await connection.fetchrow(_FOUND)
    assert found is not None  # noqa: S101 - a SELECT without FROM has one row
    if found["schema"] is None:
        raise SetupError("the search_path of this database and role names no schema that exists")
    reference = await _fetch(connection, REFERENCE_TABLE) if found["reference"] else None
    ours = await _fetch(connection, OWN_TABLE) if found["ours"] else None
    is_empty = not (found["events"] or reference or ours)
    other_schema = await _fetch_board_with_results(connection) if is_empty else None
    return VersionTables(found["schema"], found["database"], found["events"], reference, ours, other_schema)


async def fetch_other_schema(connection: Connection) -> str | None:
    """Another schema, quoted, that holds a leaderboard with results, where this one has none; None: there is no such."""
    if await connection.fetchval("SELECT has_table_privilege(to_regclass('results'), 'SELECT')") and (
        await connection.fetchval("SELECT EXISTS (SELECT FROM results)")
    ):
        return None
    return await _fetch_board_with_results(connection)


async def _fetch_board_with_results(connection: Connection) -> str | None:
    for schema, is_moving in await connection.fetch(_OTHERS):
        for table in ("events", "events_before") if is_moving else ("events",):
            if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {schema}.{table})"):  # noqa: S608 - quoted
                return str(schema)
    return None


def search_path_advice(schema: str) -> str:
    """What to add to POSTGRES, or where else to say it, to use a schema."""
    option = quote("-csearch_path=" + schema.replace("\\", "\\\\").replace(" ", "\\ "))
    return f"Add `options={option}` to the parameters of POSTGRES, or say ALTER ROLE … SET search_path = {schema}."


async def _fetch(connection: Connection, table: str) -> SchemaVersion | None:
    row = await connection.fetchrow(f"SELECT version, dirty FROM {table}")  # noqa: S608 - one of two names
    return None if row is None else SchemaVersion(row["version"], row["dirty"])


async def record_version(connection: Connection, version: int, *, dirty: bool) -> None:
    """Write where the schema stands now. Below 4 our ledger goes; at 0 the reference's is left empty.

    The reference's is left as it is where it says so already, or is cleanly beyond 3.
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
    # golang-migrate TRUNCATEs; a DELETE leaves the same row and doesn't queue behind readers.
    await connection.execute(f"DELETE FROM {table}")  # noqa: S608 - one of two names
    if version or dirty:
        await connection.execute(f"INSERT INTO {table} VALUES ($1, $2)", version, dirty)  # noqa: S608 - as above
