"""orchboard prune"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from datetime import datetime

    from orchboard.store.connection.types import Connection
    from orchboard.store.postgres.database import Database
    from orchboard.store.retention.pruner import Prunable, Pruner


def prune(
    *,
    before: Annotated[
        str,
        Parameter(help="Results received before this day, in UTC, are deleted: a date such as 2026-06-01."),
    ],
    dry_run: Annotated[
        bool, Parameter(help="Say what would be deleted, and change nothing.", negative="")
    ] = False,
    archive: Annotated[
        Path | None,
        Parameter(help="Directory to write the results to first, as a Parquet file for each month."),
    ] = None,
) -> int:
    """Delete old results; their rollups stay.

    Long windows are answered as before. Rollups are built and compared with the results first; nothing is deleted if they differ. From then on they are
    final: results of that time can't be added, changed or counted any more. Results of the last 8 days are always kept.
    Works on the database of POSTGRES, or on the embedded one, beside running servers. Can be interrupted and run again.
    RETENTION_DAYS does the same in the background, without an archive.

    **Examples**

    ```
    orchboard prune --before 2026-06-01 --dry-run
    orchboard prune --before 2026-06-01 --archive /srv/archive
    ```
    """
    from orchboard.cli.schema import run_on_database

    moment, done = _parse_day(before), _Done()
    if archive is not None:
        import pyarrow.parquet  # noqa: F401 - what is missing is said before anything is done

    async def work(database: Database, connection: Connection) -> int:
        from orchboard.cli.prune_archive import archive_results
        from orchboard.store.retention.pruner import Pruner

        pruner = Pruner(connection)
        if not dry_run:
            await pruner.require_privileges()
        found = await pruner.find(moment)
        if not found.results:
            print(f"there are no results before {found.before:%Y-%m-%d}")
            return 0
        size = f"{found.results:,} results ({_megabytes(found.size)} without indexes), received from {found.first:%Y-%m-%d} to {found.last:%Y-%m-%d}"
        if dry_run:
            print(f"would delete {size}; rollups stay")
            return 0
        await _verify(pruner, found.before)
        await pruner.finalize(found.before)
        if archive is not None:
            await archive_results(database, connection, archive, found)
        print(f"deleting {size}; rollups stay")
        await _delete(pruner, found, done, last_id=None if archive is None else found.last_id)
        print(f"deleted {done.deleted:,} results; autovacuum makes their room usable again")
        if archive is not None and (later := (await pruner.find(moment)).results):
            print(
                f"{later:,} results were stored meanwhile; run `orchboard prune` again to archive and delete them"
            )
        return 0

    try:
        return run_on_database(work)
    except KeyboardInterrupt:
        if not dry_run:
            print(
                f"orchboard: interrupted; {done.deleted:,} results were deleted. Run the command again to continue",
                file=sys.stderr,
            )
        raise


class _Done:
    """How far a run has come. deleted -- results in batches that are complete"""

    deleted = 0


async def _verify(pruner: Pruner, before: datetime) -> None:
    from orchboard.cli.progress import progress

    with progress("verifying", unit="buckets") as report:
        await pruner.verify(before, report)


async def _delete(pruner: Pruner, found: Prunable, done: _Done, *, last_id: int | None) -> None:
    from orchboard.cli.progress import progress

    with progress("deleting") as report:
        async for number in pruner.delete(found.before, last_id=last_id):
            done.deleted += number
            report(done.deleted, max(found.results, done.deleted))


def _parse_day(text: str) -> datetime:
    from datetime import UTC, date, datetime, time

    from orchboard.errors import BadInputError

    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError:
        raise BadInputError(f"--before must be a date, such as 2026-06-01, not {text[:40]!r}") from None


def _megabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
