"""The migration runner: migrates the schema up or down, one run at a time."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import asyncpg
import structlog
from msgspec import Struct

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError, SetupError
from orchboard.store.connection.failures import SCHEMA_IS_OLD
from orchboard.store.connection.types import Connect, Connection
from orchboard.store.schema.migration_files import (
    Direction,
    Migration,
    load_migrations,
    runs_outside_transaction,
)
from orchboard.store.schema.migration_lock import advisory_locks
from orchboard.store.schema.version_tables import (
    LAST_SHARED,
    OWN_TABLE,
    REFERENCE_TABLE,
    SchemaVersion,
    VersionTables,
    fetch_version_tables,
    record_version,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")

_LOCK_ATTEMPTS = 20
_LOCK_TIMEOUTS = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_CONNECTION_LOST = (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError)


class OldSchemaError(DatabaseUnavailableError):
    """The schema is missing, or older than this program's. version -- 0 if it is missing; needed -- this program's"""

    def __init__(self, version: int, needed: int) -> None:
        super().__init__(SCHEMA_IS_OLD)
        self.version = version
        self.needed = needed


class Step(Struct, frozen=True):
    """A migration that was applied ("up") or reverted ("down"), and its duration."""

    version: int
    name: str
    direction: Direction
    duration_s: float


class _Planned(Struct, frozen=True):
    """The migration to run next, and the version of the schema after it."""

    migration: Migration
    direction: Direction
    after: int


class _Run(Struct, frozen=True):
    """The parameters of one run. target -- None: the latest version, or a newer orchboard's version if the schema has one"""

    connection: Connection
    known: tuple[Migration, ...]
    target: int | None
    lock_wait_s: float
    lock_timeout_s: float


async def fetch_schema_version(connect: Connect) -> SchemaVersion:
    """The version of the schema. Takes no lock and changes nothing."""
    async with _connected(connect) as connection, connection.transaction():
        return (await fetch_version_tables(connection)).current


async def require_schema(connect: Connect) -> None:
    """Check that the schema has this program's version or a newer one. Changes nothing.

    Raises OldSchemaError if it is missing or older, SetupError if an operator has to repair it.
    """
    known = load_migrations()
    async with _connected(connect) as connection, connection.transaction():
        tables = await fetch_version_tables(connection)
    if obstacle := tables.obstacle(len(known)):
        raise SetupError(f"{obstacle.message}. {obstacle.remedy}")
    version = tables.current.version
    if version < len(known):
        raise OldSchemaError(version, len(known))


async def migrate_to(
    connect: Connect,
    version: int | None = None,
    *,
    on_step: Callable[[Step], None] | None = None,
    lock_wait_s: float = 60,
    lock_timeout_s: float = limits.MIGRATION_LOCK_S,
    migrations: tuple[Migration, ...] | None = None,
) -> tuple[Step, ...]:
    """Migrate the schema to a version, up or down; the steps that this call ran.

    Safe to run in several processes at once: each migration runs once. Without `version`, a schema that is newer than
    this program is not changed. A migration that runs outside a transaction and was interrupted runs again; any other
    dirty version is refused.

    connect -- up to two connections are open at a time
    version -- None: the latest; 0: an empty schema
    on_step -- called after each step
    lock_wait_s -- how long to wait for another run
    lock_timeout_s -- lock_timeout of a statement, after which it is retried. Queries on the table queue behind a waiting
        statement. Must be less than Postgres's deadlock_timeout: a query could otherwise be ended as deadlock victim
    migrations -- None: those of the package

    Raises SetupError if the schema can't be migrated, DatabaseUnavailableError if another run takes too long. Steps that
    finished before the error are recorded.
    """
    known = load_migrations() if migrations is None else migrations
    _check_version(version, known)
    steps: list[Step] = []
    async with _connected(connect) as connection:
        run = _Run(connection, known, version, lock_wait_s, lock_timeout_s)
        async with connection.transaction():
            tables = await fetch_version_tables(connection)
        if tables.obstacle(len(known)) is None and _plan_next(tables, run) is None:
            return ()
        async with (
            _connected(connect) as holder,
            advisory_locks(
                holder, tables.lock_key(OWN_TABLE), wait_s=lock_wait_s, lock_timeout_s=lock_timeout_s
            ),
        ):
            while step := await _run_next(run):
                steps.append(step)
                if on_step is not None:
                    on_step(step)
    return tuple(steps)


async def force_version(connect: Connect, version: int) -> None:
    """Record a version as finished in the version tables, without running a migration.

    Raises SetupError for an unknown version, DatabaseUnavailableError while a migration runs.
    """
    _check_version(version, load_migrations())
    async with _connected(connect) as connection:
        async with connection.transaction():
            tables = await fetch_version_tables(connection)
        keys = tables.lock_key(OWN_TABLE), tables.lock_key(REFERENCE_TABLE)
        async with advisory_locks(connection, *keys, wait_s=5, lock_timeout_s=5):
            await record_version(connection, version, dirty=False)


def _check_version(version: int | None, known: tuple[Migration, ...]) -> None:
    if version is not None and not 0 <= version <= len(known):
        raise SetupError(
            f"there is no migration {version}: versions go from 0, an empty schema, to {len(known)}"
        )


def _plan_next(tables: VersionTables, run: _Run) -> _Planned | None:
    current, known = tables.current.version, run.known
    target = max(current, len(known)) if run.target is None else run.target
    if _can_retry(tables, run) and target >= current:
        current -= 1
    if current == target:
        return None
    if current < target:
        if current == 0 and tables.has_events and not tables.current.dirty:
            raise SetupError(
                f"this database has a table `events`, but {REFERENCE_TABLE} has no row with its version: use another "
                "database or, if the table is a leaderboard's, run `orchboard migrate force V`"
            )
        return _Planned(known[current], "up", current + 1)
    if current > len(known):
        raise SetupError(
            f"the schema is at version {current}, of a newer orchboard: the latest version here is {len(known)}"
        )
    if current <= LAST_SHARED and tables.reference and tables.reference.version > LAST_SHARED:
        raise SetupError(
            f"{REFERENCE_TABLE} is at {tables.reference.version}, of a newer reference server: migrate down with that server"
        )
    return _Planned(known[current - 1], "down", current - 1)


def _can_retry(tables: VersionTables, run: _Run) -> bool:
    """Whether the dirty version is one of ours that runs outside a transaction: such migrations can be repeated.

    No other process is running it, as the caller holds the lock of the run.
    """
    own = tables.own
    if own is None or not own.dirty or tables.shared < LAST_SHARED:
        return False
    if tables.reference and tables.reference.dirty:
        return False
    return own.version <= len(run.known) and not run.known[own.version - 1].transactional


async def _run_next(run: _Run) -> Step | None:
    try:
        return await _retry_lock_timeouts(partial(_run_next_once, run), run.lock_timeout_s)
    except _LOCK_TIMEOUTS as error:
        raise SetupError(
            f"{_locked_message(run)}; this version was not started: try again at a quieter time"
        ) from error


async def _retry_lock_timeouts(attempt: Callable[[], Awaitable[T]], lock_timeout_s: float) -> T:
    """Repeat a lock timeout _LOCK_ATTEMPTS times, with pauses in which queued queries run."""
    for _ in range(_LOCK_ATTEMPTS - 1):
        try:
            return await attempt()
        except _LOCK_TIMEOUTS:
            await asyncio.sleep(random.uniform(1, 3) * lock_timeout_s)  # noqa: S311 - jitter
    return await attempt()


async def _run_next_once(run: _Run) -> Step | None:
    """Run the next migration; None if there is none left."""
    started, connection = time.perf_counter(), run.connection
    async with connection.transaction():
        tables = await fetch_version_tables(connection)
    planned = _plan_next(tables, run)
    # While the reference server runs a migration its table is dirty too: only its lock tells whether it still runs.
    shared = tables.current.dirty or (planned is not None and planned.migration.version <= LAST_SHARED)
    keys = (tables.lock_key(REFERENCE_TABLE),) if shared else ()
    async with advisory_locks(connection, *keys, wait_s=run.lock_wait_s, lock_timeout_s=run.lock_timeout_s):
        tables = await fetch_version_tables(connection)
        if not _can_retry(tables, run) and (obstacle := tables.obstacle(len(run.known))):
            raise SetupError(f"{obstacle.message}. {obstacle.remedy}")
        planned = _plan_next(tables, run)
        if planned is None:
            return None
        migration = planned.migration
        if migration.transactional:
            await _execute(run, planned)
            await record_version(connection, planned.after, dirty=False)
        else:
            await record_version(connection, migration.version, dirty=True)
    if not migration.transactional:
        await _execute(run, planned)
        async with connection.transaction():
            await record_version(connection, planned.after, dirty=False)
    return Step(migration.version, migration.name, planned.direction, time.perf_counter() - started)


async def _execute(run: _Run, planned: _Planned) -> None:
    migration = planned.migration
    try:
        for statement in migration.statements(planned.direction):
            if migration.transactional or runs_outside_transaction(statement):
                await run.connection.execute(statement)
            else:
                await _retry_lock_timeouts(
                    partial(_execute_in_transaction, run, statement), run.lock_timeout_s
                )
    except asyncpg.PostgresError as error:
        if isinstance(error, _CONNECTION_LOST) or (
            migration.transactional and isinstance(error, _LOCK_TIMEOUTS)
        ):
            raise
        again = "up" if planned.direction == "up" else f"goto {planned.after}"
        ending = (
            "and was rolled back"
            if migration.transactional
            else f"half-way; `orchboard migrate {again}` runs it again"
        )
        why = _locked_message(run) if isinstance(error, _LOCK_TIMEOUTS) else error
        raise SetupError(
            f"migration {migration.version} {migration.name} ({planned.direction}) failed {ending}: {why}"
        ) from error


async def _execute_in_transaction(run: _Run, statement: str) -> None:
    """Run one statement in a transaction with lock_timeout."""
    async with advisory_locks(run.connection, wait_s=run.lock_wait_s, lock_timeout_s=run.lock_timeout_s):
        await run.connection.execute(statement)


def _locked_message(run: _Run) -> str:
    return (
        f"a table stayed locked by others during {_LOCK_ATTEMPTS} attempts of {run.lock_timeout_s:g} s each"
    )


@asynccontextmanager
async def _connected(connect: Connect) -> AsyncIterator[Connection]:
    connection = await connect()
    try:
        yield connection
    finally:
        await connection.close()
