"""orchboard import"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from orchboard.cli.usage import refuse_options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from orchboard.config import Settings
    from orchboard.importing.checking import Checked
    from orchboard.store.postgres.database import Database
    from orchboard.store.transfer.restore import StoredLines

MAX_PRINTED = 20
_MEGABYTE = 1_000_000


def import_(
    *files: Annotated[
        str,
        Parameter(
            name="FILE",
            allow_leading_hyphen=True,
            validator=refuse_options,
            help="Files to read; `-` is standard input.",
        ),
    ],
    skip_bad: Annotated[
        bool, Parameter(help="Skip results that are refused and store the others.", negative="")
    ] = False,
    dry_run: Annotated[bool, Parameter(help="Check and count, but store nothing.", negative="")] = False,
    json: Annotated[bool, Parameter(help="Print the summary as JSON.", negative="")] = False,
) -> int:
    """Store results from files: NDJSON, CSV, Parquet or a backup.

    The format is detected from the content: NDJSON (one result a line, as posted or as raw_stats returns it), a JSON
    answer of raw_stats, CSV or Parquet with one column for each member, or a backup, which is restored. All formats
    except Parquet may be compressed with zstd. The receipt time of a result is its `event_time` (ISO 8601 or Unix
    seconds), or else its `timestamp`.

    All results are checked before any is stored. Results that the database already has are not stored again.

    **Examples**

    ```
    orchboard import results.ndjson
    orchboard import --dry-run january.csv february.csv
    curl 'https://leaderboard.example/api/raw_stats?orchestrator=0x…&since=1' | orchboard import -
    ```
    """
    from orchboard.cli.database import database_url
    from orchboard.cli.restore import open_source, restore_checked
    from orchboard.cli.settings import data_directory, read_environment
    from orchboard.errors import BadInputError
    from orchboard.store.transfer.archive import check_backup, is_backup

    if not files:
        raise BadInputError("name a file, or - for standard input")
    settings = read_environment()
    with ExitStack() as stack:
        sources = [(name, stack.enter_context(open_source(name, data_directory(settings)))) for name in files]
        backups = [source for _, source in sources if is_backup(source)]
        if backups and (len(sources) > 1 or dry_run or skip_bad or json):
            raise BadInputError(
                "a backup must be imported alone and without options, as with `orchboard restore`"
            )
        if backups:
            backup = check_backup(backups[0])
        url = stack.enter_context(database_url(settings))
        if backups:
            return restore_checked(settings, url, backups[0], backup)
        return _import(settings, url, sources, skip_bad=skip_bad, dry_run=dry_run, as_json=json)


def _import(
    settings: Settings,
    url: str,
    sources: Sequence[tuple[str, IO[bytes]]],
    *,
    skip_bad: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    import asyncio
    from contextlib import closing

    from orchboard.cli.database import translate_driver_errors
    from orchboard.cli.restore import temporary_file
    from orchboard.cli.settings import data_directory
    from orchboard.importing.checking import Checked
    from orchboard.store.postgres.database import Database

    began_at = time.monotonic()

    def database() -> Database:
        return Database(url, connections=1, timeout_s=settings.db_timeout_s)

    with translate_driver_errors():
        names = asyncio.run(_prepare(database(), dry_run=dry_run))
    with closing(Checked(lambda: temporary_file(data_directory(settings)), names)) as checked:
        _check(checked, sources)
        is_refused = bool(checked.refusals) and not skip_bad
        stored = unique = not_kept = 0
        if not is_refused:
            done = _store(database(), checked, names, dry_run=dry_run)
            stored, unique, not_kept = done.stored, done.lines, done.not_kept
        summary = {
            "results": checked.results,
            "stored": stored,
            "already_there": unique - stored - not_kept,
            "not_kept": not_kept,
            "repeated": 0 if is_refused else checked.results - checked.refusals - unique,
            "refused": checked.refusals,
        }
        if as_json:
            _print_json(summary, checked, dry_run=dry_run)
        else:
            _print_refusals(checked, is_refused=is_refused)
            if not is_refused:
                _print_summary(summary, time.monotonic() - began_at, dry_run=dry_run)
    return 1 if is_refused else 0


def _print_summary(summary: dict[str, int], took_s: float, *, dry_run: bool) -> None:
    done = "would import" if dry_run else "imported"
    print(
        f"{done} {summary['stored']:,} of {summary['results']:,} results in {took_s:.1f} s; "
        f"{summary['already_there']:,} already stored, {summary['repeated']:,} repeated, "
        f"{summary['refused']:,} refused"
    )
    if summary["not_kept"]:
        print(
            f"{summary['not_kept']:,} results {'would not be' if dry_run else 'were not'} imported: results of their time are "
            "not kept (`orchboard prune`)"
        )


async def _prepare(database: Database, *, dry_run: bool) -> dict[str, str]:
    """The regions of the database: display names by code. Creates and migrates the database unless `dry_run`."""
    from orchboard.errors import SetupError
    from orchboard.store.schema.migrate import fetch_schema_version
    from orchboard.store.schema.migration_files import load_migrations
    from orchboard.store.transfer.restore import fetch_regions

    if not dry_run:
        await database.open()
        await database.close()
    elif (version := (await fetch_schema_version(database.connect)).version) != (
        latest := len(load_migrations())
    ):
        raise SetupError(
            f"the schema is at version {version} of {latest}, and --dry-run does not migrate: run `orchboard migrate up`"
        )
    return await fetch_regions(database.connect)


def _check(checked: Checked, sources: Sequence[tuple[str, IO[bytes]]]) -> None:
    import os

    from orchboard.cli.progress import progress
    from orchboard.errors import BadInputError

    sizes = [os.fstat(source.fileno()).st_size for _, source in sources]
    before = 0
    with progress("checking", unit="MB") as report:

        def checking(position: int) -> None:
            report((before + position) // _MEGABYTE, sum(sizes) // _MEGABYTE)

        for (name, source), size in zip(sources, sizes, strict=True):
            try:
                checked.add_file(name, source, checking)
            except BadInputError as error:
                raise BadInputError(f"{name}: {error}") from None
            before += size


def _store(database: Database, checked: Checked, names: dict[str, str], *, dry_run: bool) -> StoredLines:
    import asyncio

    from orchboard.cli.database import translate_driver_errors
    from orchboard.cli.progress import progress
    from orchboard.store.transfer.archive import BackupRegion
    from orchboard.store.transfer.restore import store_lines

    # As for a POST, a region that exists only for the other job type is added for this one.
    regions = [BackupRegion(region, names[region], job_type) for region, job_type in sorted(checked.used)]
    total = checked.results - checked.refusals
    with translate_driver_errors(), progress("comparing" if dry_run else "importing") as report:

        def storing(done: int) -> None:
            report(done, total)

        done = store_lines(database.connect, regions, checked.lines(), on_progress=storing, dry_run=dry_run)
        return asyncio.run(done)


def _print_json(summary: dict[str, int], checked: Checked, *, dry_run: bool) -> None:
    from orchboard.cli.output import print_json

    print_json({"dry_run": dry_run, **summary, "refusals": checked.refused})


def _print_refusals(checked: Checked, *, is_refused: bool) -> None:
    """Print the reasons of the first refused results to standard error."""
    from orchboard.cli.cells import printable

    for refused in checked.refused[:MAX_PRINTED]:
        print(printable(f"orchboard: {refused.file}, {refused.where}: {refused.reason}"), file=sys.stderr)
    if checked.refusals > MAX_PRINTED:
        print(f"orchboard: and {checked.refusals - MAX_PRINTED:,} more", file=sys.stderr)
    if is_refused:
        print(
            f"orchboard: nothing was stored: {checked.refusals:,} of {checked.results:,} results are refused; "
            "--skip-bad stores the others",
            file=sys.stderr,
        )
