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
            allow_leading_hyphen=True, validator=refuse_options, help="A backup; `-` is standard input."
        ),
    ],
    /,
) -> int:
    """Store the results of a backup.

    The file is checked before anything is stored. What the database has already is left alone, and nothing is stored
    twice: broken off, it goes on when it is called again. Servers may serve and take results meanwhile. At the end the
    results of that time are read back and compared with the backup by number and digest.

    **Examples**

    ```
    orchboard restore results.jsonl.zst
    ```
    """
    from orchboard.cli.database import database_url
    from orchboard.cli.settings import data_directory, read_environment
    from orchboard.store.transfer.archive import check_backup

    settings = read_environment()
    with opened(file, data_directory(settings)) as source:
        backup = check_backup(source)
        with database_url(settings) as url:
            return restore_checked(settings, url, source, backup)


def restore_checked(settings: Settings, url: str, source: IO[bytes], backup: Backup) -> int:
    """Store the results of a backup that was checked, and say what was stored; the exit status."""
    import asyncio
    import time

    from orchboard.cli.database import in_words
    from orchboard.cli.progress import told
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

    with in_words(), told("restoring") as storing, told("comparing") as comparing:
        restored = asyncio.run(run())
    _tell(backup, restored, time.monotonic() - began_at)
    return 0 if restored.holds(backup) else 1


def _tell(backup: Backup, restored: Restored, took_s: float) -> None:
    results, there = backup.trailer.results, restored.there
    print(
        f"restored {restored.stored:,} of {results:,} results and {restored.regions} regions in {took_s:.1f} s; "
        f"{results - restored.stored:,} were there"
    )
    if restored.is_exact(backup):
        print(f"the database holds what the backup holds of that time\nsha256 {there.results_sha256}")
    elif restored.holds(backup):
        print(
            f"the database holds {there.results - results:,} more of that time, so digests can't be compared"
        )
    else:
        print(
            f"orchboard: the database holds other results of that time than the backup: {there.results:,} with "
            f"digest {there.results_sha256}, where the backup has {results:,} with {backup.trailer.results_sha256}",
            file=sys.stderr,
        )


@contextmanager
def opened(file: str, directory: Path) -> Iterator[IO[bytes]]:
    """The file. Of standard input a copy, as it is read twice: in the data directory, which has room for results."""
    if file != "-":
        with open(file, "rb") as source:
            yield source
        return
    with temporary_file(directory) as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.seek(0)
        yield copy


def temporary_file(directory: Path) -> IO[bytes]:
    """A file in a directory, or, where that can't be written to, in the system's temporary one."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=directory)
    except OSError:
        return tempfile.TemporaryFile()
