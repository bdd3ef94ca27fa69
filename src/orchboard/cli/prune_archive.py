"""The archive of `orchboard prune`: a Parquet file of the results of each month."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

    from orchboard.store.connection.types import Connection
    from orchboard.store.postgres.database import Database
    from orchboard.store.retention.pruner import Prunable


async def archive_results(
    database: Database, connection: Connection, directory: Path, pruned: Prunable
) -> None:
    """Write the results to files named by their first and last day. A file appears when it is complete and on the disk.

    An existing file may hold results that are no longer in the database, so it is never replaced: the new file gets a number.
    Raises SetupError if a file can't be written or does not have all results.
    """
    from orchboard.cli.archive_files import remove_leftovers
    from orchboard.cli.progress import progress
    from orchboard.errors import SetupError

    assert pruned.first is not None  # noqa: S101 - there are results
    try:
        await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
        await asyncio.to_thread(remove_leftovers, directory)
        written = left_out = 0
        with progress("archiving") as report:
            for since, until in months(pruned.first, pruned.before):
                path = directory / f"results-{since:%Y-%m-%d}-{until - timedelta(days=1):%Y-%m-%d}.parquet"
                rows, missing = await _write(database, connection, path, since, until)
                written, left_out = written + rows, left_out + missing
                report(written + left_out, pruned.results)
    except OSError as error:
        raise SetupError(f"the archive can't be written, nothing was deleted: {error}") from error
    print(f"archived {written:,} results in {directory}")
    if left_out:
        print(f"{left_out:,} results without a region or an orchestrator never counted and are not archived")


def months(first: datetime, before: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The months from a time on, in UTC; the last may end early.

    >>> from datetime import UTC
    >>> [f"{since:%m-%d} {until:%m-%d}" for since, until in months(datetime(2026, 1, 9, tzinfo=UTC), datetime(2026, 2, 3, tzinfo=UTC))]
    ['01-01 02-01', '02-01 02-03']
    """
    from orchboard.store.rollups.buckets import MONTH

    since = MONTH.start_of(first)
    while since < before:
        until = min(MONTH.end_of(since), before)
        yield since, until
        since = until


async def _write(
    database: Database, connection: Connection, path: Path, since: datetime, until: datetime
) -> tuple[int, int]:
    """Write one file; the number of its results, and of those that count nowhere."""
    from orchboard.cli.archive_files import add_file, part_file
    from orchboard.errors import SetupError
    from orchboard.store.sql_files import sql

    total: int = await connection.fetchval(sql("count_results"), since, until)
    uncounted: int = await connection.fetchval(sql("uncounted_results"), since, until)
    with part_file(path) as file:
        async for piece in _pieces(database, since, until):
            await asyncio.to_thread(file.write, piece)
        file.flush()
        rows = _rows(file.name)
        if rows != total - uncounted:
            raise SetupError(
                f"{file.name} has {rows:,} of {total - uncounted:,} results; nothing was deleted. Run `orchboard prune` again"
            )
        add_file(file, path)  # not in a thread, which would go on after an interrupt
    return rows, uncounted


def _rows(path: str) -> int:
    """The number of results in a file; -1 if it is not complete."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        return int(ParquetFile(path).metadata.num_rows)
    except ArrowException:
        return -1


async def _pieces(database: Database, since: datetime, until: datetime) -> AsyncGenerator[bytes, None]:
    from orchboard.analytics.table_formats import parquet
    from orchboard.reports.export import ExportedResult
    from orchboard.stats import SeriesQuery, Window
    from orchboard.store.postgres.clock import MICROSECOND, DatabaseClock
    from orchboard.store.raw_results.export import ResultExport, ResultSelection
    from orchboard.store.raw_results.pages import RawPages

    export = ResultExport(database, DatabaseClock(), RawPages(database))
    window = Window(since, until - MICROSECOND)
    selection = ResultSelection(query=SeriesQuery(), window=window, format="text", payload=True)
    async for piece in parquet(ExportedResult, export.pages(selection)):
        yield piece
