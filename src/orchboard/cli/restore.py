"""orchboard restore"""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from orchboard.cli.usage import refuse_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from orchboard.config import Settings
    from orchboard.store.transfer.archive import Backup
    from orchboard.store.transfer.restore import Restored


def restore(
    file: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True, validator=refuse_options, help="A backup file; `-` is standard input."
        ),
    ],
    /,
) -> int:
    """Store the results of a backup.

    The file is checked before anything is stored. Nothing is stored twice: results that the database already has are
    not changed, and an interrupted restore can be run again. Servers may run meanwhile. At the end, the results of the
    backup's period are read back and compared with the backup by number and digest.

    **Examples**

    ```
    orchboard restore results.jsonl.zst
    ```
    """
    from orchboard.cli.database import database_url
    from orchboard.cli.settings import data_directory, read_environment
    from orchboard.store.transfer.archive import check_backup

    settings = read_environment()
    with open_source(file, data_directory(settings)) as source:
        backup = check_backup(source)
        with database_url(settings) as url:
            return restore_checked(settings, url, source, backup)


def restore_checked(settings: Settings, url: str, source: IO[bytes], backup: Backup) -> int:
    """Store the results of a checked backup and print the outcome. Returns the exit status."""
    import asyncio
    import time

    from orchboard.cli.database import translate_driver_errors
    from orchboard.cli.progress import progress
    from orchboard.store.postgres.database import Database
    from orchboard.store.transfer.restore import restore as restore_results

    began_at = time.monotonic()
    source.seek(0)

    async def run() -> Restored:
        database = Database(url, connections=1, timeout_s=settings.db_timeout_s)
        await database.open()  # makes the database, and migrates it
        await database.close()
        return await restore_results(
            database.connect, source, backup, on_progress=storing, on_compare=comparing
        )

    with translate_driver_errors(), progress("restoring") as storing, progress("comparing") as comparing:
        restored = asyncio.run(run())
    _print_outcome(backup, restored, time.monotonic() - began_at)
    return 0 if restored.holds(backup) else 1


def _print_outcome(backup: Backup, restored: Restored, took_s: float) -> None:
    results, there = backup.trailer.results, restored.present
    print(
        f"restored {restored.stored:,} of {results:,} results and {restored.regions} regions in {took_s:.1f} s; "
        f"{results - restored.stored - restored.not_kept:,} already stored"
    )
    if restored.not_kept:
        print(
            f"{restored.not_kept:,} results were not stored: results of their time are not kept (`orchboard prune`)"
        )
    if restored.is_exact(backup):
        print(f"the database has exactly the backup's results of that period\nsha256 {there.results_sha256}")
    elif restored.not_kept and there.results == results - restored.not_kept:
        print("the database has the backup's other results of that period")
    elif restored.holds(backup):
        more = there.results - results + restored.not_kept
        print(f"the database has {more:,} more results of that period, so digests can't be compared")
    else:
        print(
            f"orchboard: the database's results of that period differ from the backup: {there.results:,} results with "
            f"digest {there.results_sha256} instead of {results:,} with {backup.trailer.results_sha256}",
            file=sys.stderr,
        )


@contextmanager
def open_source(file: str, directory: Path) -> Iterator[IO[bytes]]:
    """The file. Standard input, which is read twice, is copied to the data directory, which has space for results."""
    if file != "-":
        with open(file, "rb") as source:
            yield source
        return
    with temporary_file(directory) as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.seek(0)
        yield copy


def temporary_file(directory: Path) -> IO[bytes]:
    """A temporary file in a directory, or in the system's temporary directory if that can't be written to."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=directory)
    except OSError:
        return tempfile.TemporaryFile()
