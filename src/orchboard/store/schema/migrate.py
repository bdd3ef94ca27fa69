"""The migration runner: one run at a time, each version once, up or down."""

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
_QUEUED_TOO_LONG = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_LOST = (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError)


class Step(Struct, frozen=True):
    """One version that was applied ("up") or taken back ("down"), and how long it took."""

    version: int
    name: str
    direction: Direction
    duration_s: float


class _Move(Struct, frozen=True):
    """What to run next, and the version that the schema has after it."""

    migration: Migration
    direction: Direction
    after: int


class _Run(Struct, frozen=True):
    """What stays the same during one run. `goal` None: the latest, or where a newer orchboard left it."""

    connection: Connection
    known: tuple[Migration, ...]
    goal: int | None
    lock_wait_s: float
    lock_timeout_s: float


async def fetch_schema_version(connect: Connect) -> SchemaVersion:
    """Where this database stands. Takes no lock, changes nothing."""
    async with _connected(connect) as connection, connection.transaction():
        return (await fetch_version_tables(connection)).current


async def require_schema(connect: Connect) -> None:
    """Check that the schema is of this program's version, or newer. Changes nothing.

    Raises DatabaseUnavailableError when it is missing or older, SetupError when a person has to repair it.
    """
    known = load_migrations()
    async with _connected(connect) as connection, connection.transaction():
        tables = await fetch_version_tables(connection)
    if obstacle := tables.obstacle(len(known)):
        raise SetupError(f"{obstacle.says}. {obstacle.remedy}")
    version = tables.current.version
    if version < len(known):
        log.error(
            "the database's schema is missing or old: run `orchboard migrate up`",
            version=version,
            needed=len(known),
        )
        raise DatabaseUnavailableError(SCHEMA_IS_OLD)


async def migrate_to(
    connect: Connect,
    version: int | None = None,
    *,
    on_step: Callable[[Step], None] | None = None,
    lock_wait_s: float = 60,
    lock_timeout_s: float = 0.5,
    migrations: tuple[Migration, ...] | None = None,
) -> tuple[Step, ...]:
    """Bring the schema to a version, up or down, and return the steps that this call took.

    However many do this at once, each version runs once. A schema newer than this program is left
    as it is when no version is asked for.

    connect -- opens a fresh connection; two at a time are used
    version -- None: the latest; 0: nothing left
    on_step -- called after each step
    lock_wait_s -- how long to wait for another run
    lock_timeout_s -- how long a statement may queue for a table before it lets others pass and tries again; those
        that come after it wait behind it. Less than Postgres's deadlock_timeout, or a reader may be refused
    migrations -- None: those of the package

    A version that runs outside a transaction and broke off is run again; any other `dirty` is refused.

    Raises SetupError saying what stands in the way, DatabaseUnavailableError when another run takes too long;
    the steps taken by then are recorded.
    """
    known = load_migrations() if migrations is None else migrations
    _refuse_unknown(version, known)
    steps: list[Step] = []
    async with _connected(connect) as connection:
        run = _Run(connection, known, version, lock_wait_s, lock_timeout_s)
        async with connection.transaction():
            tables = await fetch_version_tables(connection)
        if tables.obstacle(len(known)) is None and _next_move(tables, run) is None:
            return ()
        async with (
            _connected(connect) as holder,
            advisory_locks(holder, tables.key(OWN_TABLE), wait_s=lock_wait_s, lock_timeout_s=lock_timeout_s),
        ):
            while step := await _advance(run):
                steps.append(step)
                if on_step is not None:
                    on_step(step)
    return tuple(steps)


async def force_version(connect: Connect, version: int) -> None:
    """Write into the ledgers that the schema stands at a version, finished. Runs nothing else.

    Raises SetupError for a number that is no version, or while a run is under way.
    """
    _refuse_unknown(version, load_migrations())
    async with _connected(connect) as connection:
        async with connection.transaction():
            tables = await fetch_version_tables(connection)
        keys = tables.key(OWN_TABLE), tables.key(REFERENCE_TABLE)
        async with advisory_locks(connection, *keys, wait_s=5, lock_timeout_s=5):
            await record_version(connection, version, dirty=False)


def _refuse_unknown(version: int | None, known: tuple[Migration, ...]) -> None:
    if version is not None and not 0 <= version <= len(known):
        raise SetupError(
            f"there is no migration {version}: they go from 0, which is nothing, to {len(known)}"
        )


def _next_move(tables: VersionTables, run: _Run) -> _Move | None:
    current, known = tables.current.version, run.known
    goal = max(current, len(known)) if run.goal is None else run.goal
    if _can_be_run_again(tables, run) and goal >= current:
        current -= 1
    if current == goal:
        return None
    if current < goal:
        if current == 0 and tables.has_events and not tables.current.dirty:
            raise SetupError(
                f"this database has a table `events`, but {REFERENCE_TABLE} has no row to say who made it: use another "
                "database or, if the table is a leaderboard's, `orchboard migrate force V`"
            )
        return _Move(known[current], "up", current + 1)
    if current > len(known):
        raise SetupError(
            f"the schema is at version {current}, of a newer orchboard: this one only knows {len(known)}"
        )
    if current <= LAST_SHARED and tables.reference and tables.reference.version > LAST_SHARED:
        raise SetupError(
            f"{REFERENCE_TABLE} is at {tables.reference.version}, of a newer reference server: go down with it"
        )
    return _Move(known[current - 1], "down", current - 1)


def _can_be_run_again(tables: VersionTables, run: _Run) -> bool:
    """Whether the version that broke off is one of ours outside a transaction: those are written to be repeated.

    Nobody can be running it now: the caller holds the lock of the run.
    """
    ours = tables.ours
    if ours is None or not ours.dirty or tables.shared < LAST_SHARED:
        return False
    if tables.reference and tables.reference.dirty:
        return False
    return ours.version <= len(run.known) and not run.known[ours.version - 1].transactional


async def _advance(run: _Run) -> Step | None:
    try:
        return await _insist(partial(_take_step, run), run.lock_timeout_s)
    except _QUEUED_TOO_LONG as error:
        raise SetupError(
            f"{_stayed_locked(run)}; nothing of this version was done: try again when it is quieter"
        ) from error


async def _insist(attempt: Callable[[], Awaitable[T]], lock_timeout_s: float) -> T:
    """Try until nobody else holds the table, so many times; in between others have their turn."""
    for _ in range(_LOCK_ATTEMPTS - 1):
        try:
            return await attempt()
        except _QUEUED_TOO_LONG:
            await asyncio.sleep(random.uniform(1, 3) * lock_timeout_s)  # noqa: S311 - jitter
    return await attempt()


async def _take_step(run: _Run) -> Step | None:
    """The next step, taken; None when there is none left."""
    started, connection = time.perf_counter(), run.connection
    async with connection.transaction():
        tables = await fetch_version_tables(connection)
    move = _next_move(tables, run)
    # While the reference server runs one of its versions its ledger says dirty; only its lock tells.
    shared = tables.current.dirty or (move is not None and move.migration.version <= LAST_SHARED)
    keys = (tables.key(REFERENCE_TABLE),) if shared else ()
    async with advisory_locks(connection, *keys, wait_s=run.lock_wait_s, lock_timeout_s=run.lock_timeout_s):
        tables = await fetch_version_tables(connection)
        if not _can_be_run_again(tables, run) and (obstacle := tables.obstacle(len(run.known))):
            raise SetupError(f"{obstacle.says}. {obstacle.remedy}")
        move = _next_move(tables, run)
        if move is None:
            return None
        migration = move.migration
        if migration.transactional:
            await _execute(run, move)
            await record_version(connection, move.after, dirty=False)
        else:
            await record_version(connection, migration.version, dirty=True)
    if not migration.transactional:
        await _execute(run, move)
        async with connection.transaction():
            await record_version(connection, move.after, dirty=False)
    return Step(migration.version, migration.name, move.direction, time.perf_counter() - started)


async def _execute(run: _Run, move: _Move) -> None:
    migration = move.migration
    try:
        for statement in migration.statements(move.direction):
            if migration.transactional or runs_outside_transaction(statement):
                await run.connection.execute(statement)
            else:
                await _insist(partial(_execute_briefly, run, statement), run.lock_timeout_s)
    except asyncpg.PostgresError as error:
        if isinstance(error, _LOST) or (migration.transactional and isinstance(error, _QUEUED_TOO_LONG)):
            raise
        again = "up" if move.direction == "up" else f"goto {move.after}"
        ending = (
            "and was undone"
            if migration.transactional
            else f"half-way; `orchboard migrate {again}` runs it again"
        )
        why = _stayed_locked(run) if isinstance(error, _QUEUED_TOO_LONG) else error
        raise SetupError(
            f"migration {migration.version} {migration.name} ({move.direction}) failed {ending}: {why}"
        ) from error


async def _execute_briefly(run: _Run, statement: str) -> None:
    """In a transaction of its own, which lets others pass when it has to queue."""
    async with advisory_locks(run.connection, wait_s=run.lock_wait_s, lock_timeout_s=run.lock_timeout_s):
        await run.connection.execute(statement)


def _stayed_locked(run: _Run) -> str:
    return (
        f"a table stayed locked by others through {_LOCK_ATTEMPTS} attempts of {run.lock_timeout_s:g} s each"
    )


@asynccontextmanager
async def _connected(connect: Connect) -> AsyncIterator[Connection]:
    connection = await connect()
    try:
        yield connection
    finally:
        await connection.close()
