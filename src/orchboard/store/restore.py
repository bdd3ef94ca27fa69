"""Restore: the results of a backup go into a database, each as often as the backup has it."""

from collections.abc import Iterator
from itertools import groupby
from typing import IO, TypeAlias

import asyncpg
from msgspec import Struct

from orchboard.errors import SetupError
from orchboard.store.backup import OnProgress, Total, fetch_total
from orchboard.store.backup_file import Backup, Header, result_lines
from orchboard.store.migrate import Connect
from orchboard.store.queries import sql

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

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
    connection = await connect()
    try:
        regions = await _add_regions(connection, backup.header)
        stored = done = 0
        for batch in _batches(result_lines(file)):
            stored += await _store(connection, batch)
            done += len(batch.lines)
            on_progress(done, total)
        # Its commit is one that waits for the disk, and so for every batch.
        await connection.execute(sql("analyze_events"))
    finally:
        connection.terminate()
    there = Total(0, backup.trailer.results_sha256)  # of a backup without a result
    if backup.since is not None and backup.until is not None:
        there = await fetch_total(connect, backup.since, backup.until, lambda done: on_compare(done, total))
    return Restored(stored, regions, there)


async def _add_regions(connection: Connection, header: Header) -> int:
    regions = header.regions
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


async def _store(connection: Connection, batch: Batch) -> int:
    """One batch: how many of it were not there."""
    async with connection.transaction():
        # A crash of Postgres may cost the last batches; `restore` waits for all of them at its end.
        await connection.execute("SET LOCAL synchronous_commit = off")
        await connection.execute(sql("restore_lock"))
        row = await connection.fetchrow(sql("restore_results"), batch.lines, batch.copies)
        assert row is not None  # noqa: S101 - it counts, so it always has one
        if row["placeless"]:
            raise SetupError("a region of the backup was just removed from the database: restore again")
    return int(row["stored"])


def _batches(lines: Iterator[bytes]) -> Iterator[Batch]:
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
