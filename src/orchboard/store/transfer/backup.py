"""Backup: every result as it is at one moment, in the order of receipt."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import IO, TypeAlias

import msgspec
from msgspec import Struct

from orchboard.errors import DatabaseUnavailableError, SetupError
from orchboard.store.connection.types import Connect, Connection
from orchboard.store.schema.migrate import fetch_schema_version
from orchboard.store.schema.version_tables import LAST_SHARED, fetch_version_tables
from orchboard.store.sql_files import sql
from orchboard.store.transfer.archive import FORMAT, BackupRegion, BackupWriter, Header, Trailer
from orchboard.window import EARLIEST, LATEST

OnProgress: TypeAlias = Callable[[int, int], None]

ALWAYS = ("-infinity", "infinity")

# From this version on there is a view of all results, wherever they are.
_HAS_RESULTS = 6

_FETCHED = 2000


class Total(Struct, frozen=True):
    """How many results there are, and the digest of their lines as a backup has them."""

    results: int
    results_sha256: str


async def back_up(
    connect: Connect,
    file: IO[bytes],
    *,
    on_progress: OnProgress,
) -> Trailer:
    """Write every result, with the regions, to a file; its last line, which says how many they are.

    Reads one snapshot, changes nothing, and takes as much memory for any number of results. A database of the
    reference server's version 3 is read as it is; so is a standby, unless it has that version.

    on_progress -- told how many results are written, and of how many
    Raises SetupError where there is nothing to back up or the file can't be written.
    """
    connection = await connect()
    try:
        async with _snapshot(connect, connection) as version:
            regions = await connection.fetch(sql("backup_regions"))
            header = Header(
                orchboard_backup=FORMAT,
                made_at=(await connection.fetchval(sql("now"))).isoformat(),
                schema_version=version,
                regions=tuple(msgspec.convert(dict(row), BackupRegion) for row in regions),
            )
            total = await connection.fetchval(sql("count_results"), EARLIEST, LATEST)
            writer = BackupWriter(file, header)
            await _read(connection, ALWAYS, writer.write, lambda done: on_progress(done, total))
            return await asyncio.to_thread(writer.finish)
    finally:
        connection.terminate()


async def fetch_total(connect: Connect, since: str, until: str, on_progress: Callable[[int], None]) -> Total:
    """What a backup would hold of the results that were received from one moment to another, both included.

    since, until -- as a line of a backup has them
    """
    digest, number = sha256(), 0

    def add(lines: list[str]) -> None:
        nonlocal number
        number += len(lines)
        digest.update("\n".join((*lines, "")).encode())

    connection = await connect()
    try:
        async with _snapshot(connect, connection):
            await _read(connection, (since, until), add, on_progress)
    finally:
        connection.terminate()
    return Total(number, digest.hexdigest())


async def _read(
    connection: Connection,
    window: tuple[str, str],
    take: Callable[[list[str]], None],
    on_progress: Callable[[int], None],
) -> None:
    """The lines of a window's results, a few thousand after the other; taken while the next are fetched."""
    cursor = await connection.cursor(sql("backup_results"), *window)
    taking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    taking.set_result(None)
    number = 0
    while rows := await cursor.fetch(_FETCHED):
        lines = [row[0] for row in rows]
        await taking
        taking = asyncio.ensure_future(asyncio.to_thread(take, lines))
        number += len(lines)
        on_progress(number)
    await taking


@asynccontextmanager
async def _snapshot(connect: Connect, connection: Connection) -> AsyncIterator[int]:
    """A transaction in which `results` is everything at one moment; the schema's version."""
    version = (await fetch_schema_version(connect)).version
    if version < LAST_SHARED:
        raise SetupError(
            "the database holds no results that can be backed up: its schema is at version "
            f"{version}; `orchboard migrate up` brings it up"
        )
    has_results = version >= _HAS_RESULTS
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    try:
        for setting in (
            "timezone = 'UTC'",
            "statement_timeout = 0",
            "idle_in_transaction_session_timeout = 0",
        ):
            await connection.execute(f"SET LOCAL {setting}")
        # Before the first query, which takes the snapshot: one that moves results between two tables would
        # otherwise drop the one that the snapshot sees them in.
        await connection.execute(f"LOCK TABLE {'results' if has_results else 'events'} IN ACCESS SHARE MODE")
        now = (await fetch_version_tables(connection)).current.version
        if (now >= _HAS_RESULTS) is not has_results:
            raise DatabaseUnavailableError("the database is just being migrated; try again")
        if not has_results:
            await connection.execute(sql("backup_old_layout"))
        yield now
    finally:
        if not connection.is_closed():
            await transaction.rollback()
