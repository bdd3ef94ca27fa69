"""Stores the results of a backup in a database, each as often as the backup has it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import IO

import asyncpg
from msgspec import Struct

from orchboard.errors import SetupError
from orchboard.store.connection.types import Connect, Connection
from orchboard.store.sql_files import sql
from orchboard.store.transfer.archive import Backup, BackupRegion, result_lines
from orchboard.store.transfer.backup import OnProgress, ResultTotal, fetch_total

# A batch is one statement and one commit.
_BATCH_LINES, _BATCH_BYTES = 2000, 4_000_000

# The date in `{"event_time":"2026-11-24…`. A batch has results of one day, so that it invalidates few rollup buckets.
_DAY = slice(15, 25)


class Restored(Struct, frozen=True):
    """The result of a restore.

    stored, regions -- results and regions that this call inserted
    not_kept -- results that were not stored, because results of their time are not kept
    present -- all results in the database, after the restore, between the backup's first and last result
    """

    stored: int
    regions: int
    not_kept: int
    present: ResultTotal

    def holds(self, backup: Backup) -> bool:
        """Whether the database has the backup's results and possibly more of that period.

        If it has more, this follows from the restore, which found or inserted each result; the digest can't confirm it.
        """
        return self.is_exact(backup) or self._has_enough(backup)

    def _has_enough(self, backup: Backup) -> bool:
        missing = backup.trailer.results - self.not_kept - self.present.results
        return missing < 0 or (missing == 0 and self.not_kept > 0)

    def is_exact(self, backup: Backup) -> bool:
        """Whether the database has exactly the backup's results of that period."""
        trailer = backup.trailer
        return self.present == ResultTotal(trailer.results, trailer.results_sha256)


class StoredLines(Struct, frozen=True):
    """What storing lines did.

    regions -- that were added; stored -- results that were inserted; lines -- that were read
    not_kept -- results that were not stored, because results of their time are not kept
    """

    regions: int
    stored: int
    lines: int
    not_kept: int


class _DryRun(Exception):  # noqa: N818 - not an error
    """Rolls back the transaction of a dry run."""


class Batch(Struct, frozen=True):
    """Lines of one day. copies -- for each, the number of equal lines before it in the backup"""

    lines: list[str]
    copies: list[int]


async def restore(
    connect: Connect,
    file: IO[bytes],
    backup: Backup,
    *,
    on_progress: OnProgress,
    on_compare: OnProgress,
) -> Restored:
    """Store the results of a verified backup that the database does not have. Idempotent.

    A stored result is the same if its receipt time, region, orchestrator and payload are equal. Of equal results the
    database gets as many as the backup has. An interrupted restore continues where it stopped; several may run at once.

    connect -- opens a connection to a database of the latest version
    file -- at its start
    on_progress, on_compare -- called with the number of results stored, or read back, and the total
    Raises SetupError if a region of the backup is removed meanwhile, and asyncpg's errors.
    """
    total = backup.trailer.results
    done = await store_lines(
        connect, backup.header.regions, result_lines(file), on_progress=lambda done: on_progress(done, total)
    )
    present = ResultTotal(0, backup.trailer.results_sha256)  # of a backup without a result
    if backup.since is not None and backup.until is not None:
        present = await fetch_total(connect, backup.since, backup.until, lambda done: on_compare(done, total))
    return Restored(done.stored, done.regions, done.not_kept, present)


async def store_lines(
    connect: Connect,
    regions: Sequence[BackupRegion],
    lines: Iterable[bytes],
    *,
    on_progress: Callable[[int], None],
    dry_run: bool = False,
) -> StoredLines:
    """Store regions and lines of results that the database does not have.

    connect -- opens a connection to a database of the latest version
    lines -- as in a backup: with line ends, in the order of receipt, equal lines adjacent
    on_progress -- called with the number of lines processed
    dry_run -- roll back every batch after counting, and add no region
    Raises SetupError if a region is removed meanwhile, and asyncpg's errors.
    """
    connection = await connect()
    try:
        added = 0 if dry_run else await _add_regions(connection, regions)
        stored = done = not_kept = 0
        for batch in _batches(lines):
            row = await _store(connection, batch, dry_run)
            stored, not_kept = stored + row["stored"], not_kept + row["not_kept"]
            done += len(batch.lines)
            on_progress(done)
        if not dry_run:
            # Commits synchronously, which also makes all earlier batches durable.
            await connection.execute(sql("analyze_events"))
    finally:
        connection.terminate()
    return StoredLines(added, stored, done, not_kept)


async def fetch_regions(connect: Connect) -> dict[str, str]:
    """The display names of all regions that have a job type, by code."""
    connection = await connect()
    try:
        return {row["region"]: row["display_name"] for row in await connection.fetch(sql("regions"))}
    finally:
        connection.terminate()


async def _add_regions(connection: Connection, regions: Sequence[BackupRegion]) -> int:
    job_types = sorted({region.job_type for region in regions if region.job_type is not None})
    async with connection.transaction():
        await connection.execute(sql("restore_lock"))
        await connection.execute(sql("restore_job_types"), job_types)
        added = await connection.fetch(
            sql("restore_regions"),
            [region.region for region in regions],
            [region.display_name for region in regions],
            [region.job_type for region in regions],
        )
    return len(added)


async def _store(connection: Connection, batch: Batch, dry_run: bool) -> asyncpg.Record:
    """Store a batch; the row of `restore_results`."""
    row: asyncpg.Record | None = None
    with suppress(_DryRun):
        async with connection.transaction():
            # A crash of Postgres may undo the last batches. `store_lines` waits for durability at its end.
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(sql("restore_lock"))
            row = await connection.fetchrow(sql("restore_results"), batch.lines, batch.copies)
            if dry_run:
                raise _DryRun
            if row is not None and row["without_region"]:
                raise SetupError(
                    "a region of these results was removed from the database meanwhile: try again"
                )
    assert row is not None  # noqa: S101 - the statement counts, so it returns one row
    return row


def _batches(lines: Iterable[bytes]) -> Iterator[Batch]:
    for _, of_a_day in groupby(lines, key=lambda line: line[_DAY]):
        yield from _batches_of_a_day(of_a_day)


def _batches_of_a_day(lines: Iterator[bytes]) -> Iterator[Batch]:
    batch, size = Batch([], []), 0
    previous, copies = b"", 0
    for line in lines:
        # Equal lines are adjacent: lines are sorted by receipt time, then by content.
        copies = copies + 1 if line == previous else 0
        previous = line
        batch.lines.append(line.decode())
        batch.copies.append(copies)
        size += len(line)
        if len(batch.lines) >= _BATCH_LINES or size >= _BATCH_BYTES:
            yield batch
            batch, size = Batch([], []), 0
    if batch.lines:
        yield batch
