"""Writes all results of one snapshot to a file, in the order of receipt."""

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

_ALL_TIME = ("-infinity", "infinity")

# The first version of the schema with the view `results`, which includes results in the old table.
_FIRST_WITH_VIEW = 6

_FETCH_ROWS = 2000


class ResultTotal(Struct, frozen=True):
    """A number of results, and the SHA-256 digest of their lines in a backup."""

    results: int
    results_sha256: str


async def back_up(
    connect: Connect,
    file: IO[bytes],
    *,
    on_progress: OnProgress,
) -> Trailer:
    """Write the regions and all results to a file; its last line.

    Reads one snapshot and changes nothing. Memory does not grow with the number of results. Also reads a database of the
    reference server's version 3, and a standby of version 6 or newer.

    on_progress -- called with the number of results written and the total
    Raises SetupError if the database has no results table or the file can't be written.
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
            await _read_lines(connection, _ALL_TIME, writer.write, lambda done: on_progress(done, total))
            return await asyncio.to_thread(writer.finish)
    finally:
        connection.terminate()


async def fetch_total(
    connect: Connect, since: str, until: str, on_progress: Callable[[int], None]
) -> ResultTotal:
    """The total of the results received in a closed interval, as a backup would have them.

    since, until -- as written in a line of a backup
    on_progress -- called with the number of results read
    """
    digest, number = sha256(), 0

    def add(lines: list[str]) -> None:
        nonlocal number
        number += len(lines)
        digest.update("\n".join((*lines, "")).encode())

    connection = await connect()
    try:
        async with _snapshot(connect, connection):
            await _read_lines(connection, (since, until), add, on_progress)
    finally:
        connection.terminate()
    return ResultTotal(number, digest.hexdigest())


async def _read_lines(
    connection: Connection,
    window: tuple[str, str],
    handle: Callable[[list[str]], None],
    on_progress: Callable[[int], None],
) -> None:
    """Pass the lines of a window's results to `handle`, in a thread, while the next ones are fetched."""
    cursor = await connection.cursor(sql("backup_results"), *window)
    handling: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    handling.set_result(None)
    number = 0
    while rows := await cursor.fetch(_FETCH_ROWS):
        lines = [row[0] for row in rows]
        await handling
        handling = asyncio.ensure_future(asyncio.to_thread(handle, lines))
        number += len(lines)
        on_progress(number)
    await handling


@asynccontextmanager
async def _snapshot(connect: Connect, connection: Connection) -> AsyncIterator[int]:
    """A transaction in which `results` is a snapshot of all results; yields the version of the schema."""
    version = (await fetch_schema_version(connect)).version
    if version < LAST_SHARED:
        raise SetupError(
            "the database has no results that can be backed up: its schema is at version "
            f"{version}; run `orchboard migrate up`"
        )
    has_view = version >= _FIRST_WITH_VIEW
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    try:
        for setting in (
            "timezone = 'UTC'",
            "statement_timeout = 0",
            "idle_in_transaction_session_timeout = 0",
        ):
            await connection.execute(f"SET LOCAL {setting}")
        # Locked before the first query, which takes the snapshot. The backfill could otherwise drop the old table, in
        # which the snapshot sees results.
        await connection.execute(f"LOCK TABLE {'results' if has_view else 'events'} IN ACCESS SHARE MODE")
        now = (await fetch_version_tables(connection)).current.version
        if (now >= _FIRST_WITH_VIEW) is not has_view:
            raise DatabaseUnavailableError("the database is being migrated; try again")
        if not has_view:
            await connection.execute(sql("backup_results_view"))
        yield now
    finally:
        if not connection.is_closed():
            await transaction.rollback()
