"""Restore: the results of a backup go into a database, each as often as the backup has it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import IO

from msgspec import Struct

from orchboard.errors import SetupError
from orchboard.store.connection.types import Connect, Connection
from orchboard.store.sql_files import sql
from orchboard.store.transfer.archive import Backup, BackupRegion, result_lines
from orchboard.store.transfer.backup import OnProgress, Total, fetch_total

# A batch is one statement and one commit.
_BATCH_LINES, _BATCH_BYTES = 2000, 4_000_000

# `{"event_time":"2026-11-24…`: a batch lies within one day, so that few spans have to be summed up again.
_DAY = slice(15, 25)


class Restored(Struct, frozen=True):
    """What a restore did, and what the database holds after it.

    stored -- results it has stored, regions -- regions it has added
    there -- all results that the database now has of the time from the backup's first result to its last
    """

    stored: int
    regions: int
    there: Total

    def holds(self, backup: Backup) -> bool:
        """Whether the database holds of that time what the backup holds, as far as can be told: where it holds more,
        every result of the backup was seen there or stored."""
        return self.is_exact(backup) or self.there.results > backup.trailer.results

    def is_exact(self, backup: Backup) -> bool:
        """Whether the database holds of that time what the backup holds, and nothing else."""
        trailer = backup.trailer
        return self.there == Total(trailer.results, trailer.results_sha256)


class _NotKept(Exception):  # noqa: N818 - rolls a transaction back, and is no error
    """What a transaction did was only to be counted."""


class Batch(Struct, frozen=True):
    """Lines of one day, each with how many equal ones the backup has before it."""

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
    """Store what the database hasn't yet of a backup that was checked. Doing it again stores nothing twice.

    A result is there already when one is that was received at the same microsecond, from the same region, with the
    same orchestrator and payload; of equal ones as many are kept as the backup has. So it goes on where one that was
    killed was, and several at once do no harm.

    connect -- gives a connection to a database of the latest version
    file -- at its start
    on_progress -- told how many results of the backup are in the database, and of how many; on_compare -- how many
        were read back
    Raises SetupError when a region of the backup is taken away meanwhile, asyncpg's errors as they come.
    """
    total = backup.trailer.results
    regions, stored, _ = await store_lines(
        connect, backup.header.regions, result_lines(file), on_progress=lambda done: on_progress(done, total)
    )
    there = Total(0, backup.trailer.results_sha256)  # of a backup without a result
    if backup.since is not None and backup.until is not None:
        there = await fetch_total(connect, backup.since, backup.until, lambda done: on_compare(done, total))
    return Restored(stored, regions, there)


async def store_lines(
    connect: Connect,
    regions: Sequence[BackupRegion],
    lines: Iterable[bytes],
    *,
    on_progress: Callable[[int], None],
    is_kept: bool = True,
) -> tuple[int, int, int]:
    """Store those lines of results that the database hasn't, and the regions: how many regions it has added, how many
    results it has stored, and of how many.

    connect -- gives a connection to a database of the latest version
    lines -- as a backup has them, with line ends, in the order of receipt, equal ones after each other
    on_progress -- told how many of the lines are in the database
    is_kept -- False: every batch is rolled back when it is counted, and no region is added
    Raises SetupError when a region is taken away meanwhile, asyncpg's errors as they come.
    """
    connection = await connect()
    try:
        added = await _add_regions(connection, regions) if is_kept else 0
        stored = done = 0
        for batch in _batches(lines):
            stored += await _store(connection, batch, is_kept)
            done += len(batch.lines)
            on_progress(done)
        if is_kept:
            # Its commit is one that waits for the disk, and so for every batch.
            await connection.execute(sql("analyze_events"))
    finally:
        connection.terminate()
    return added, stored, done


async def fetch_regions(connect: Connect) -> dict[str, str]:
    """The display name of every region that has a job type, by its code."""
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


async def _store(connection: Connection, batch: Batch, is_kept: bool) -> int:
    """One batch: how many of it were not there."""
    stored = 0
    with suppress(_NotKept):
        async with connection.transaction():
            # A crash of Postgres may cost the last batches; `store_lines` waits for all of them at its end.
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(sql("restore_lock"))
            row = await connection.fetchrow(sql("restore_results"), batch.lines, batch.copies)
            assert row is not None  # noqa: S101 - it counts, so it always has one
            stored = int(row["stored"])
            if not is_kept:
                raise _NotKept
            if row["placeless"]:
                raise SetupError("a region of these results was just removed from the database: try again")
    return stored


def _batches(lines: Iterable[bytes]) -> Iterator[Batch]:
    for _, of_a_day in groupby(lines, key=lambda line: line[_DAY]):
        yield from _batches_of_a_day(of_a_day)


def _batches_of_a_day(lines: Iterator[bytes]) -> Iterator[Batch]:
    batch, size = Batch([], []), 0
    previous, copies = b"", 0
    for line in lines:
        # Equal lines follow each other: the order is by receipt, then by the line itself.
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
