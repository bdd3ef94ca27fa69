"""orchboard migrate"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from orchboard import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchboard.store.connection.types import Connect
    from orchboard.store.legacy_import.backfill import BackfillProgress
    from orchboard.store.schema.migrate import Step
    from orchboard.store.schema.version_tables import SchemaVersion


Yes = Annotated[bool, Parameter(name=("--yes", "-y"), help="Don't ask for confirmation.", negative="")]

migrate = App(
    name="migrate",
    help="""Migrate the database schema up and down.

    `orchboard serve` migrates up at startup. Use these commands to migrate beforehand, to go back, and for
    repairs. Concurrent runs are safe: each migration is applied once. A version is a number; 0 means no
    schema.

    **Examples**

    ```
    orchboard migrate version
    orchboard migrate up
    ```
    """,
)


@migrate.command
def up(
    *,
    schema_only: Annotated[
        bool,
        Parameter(help="Don't move results or build rollups; servers do so in the background.", negative=""),
    ] = False,
) -> None:
    """Migrate to the latest version. Creates the database if it is missing and the role may create it.

    Then moves the results of a database that was taken over into orchboard's table, and builds rollups.
    Servers may run meanwhile. An interrupted run continues where it stopped when it is started again.

    **Examples**

    ```
    orchboard migrate up
    orchboard migrate up --schema-only
    ```
    """
    _migrate_to(None)
    if not schema_only:
        from orchboard.cli.migrate_backfill import Backfill

        with _database() as (_, connect):
            Backfill(connect).run()


@migrate.command
def down(versions: Annotated[int, Parameter(help="Number of versions.")] = 1, /, *, yes: Yes = False) -> None:
    """Revert migrations, with the data that they added. Asks for confirmation.

    **Examples**

    ```
    orchboard migrate down 1
    ```
    """
    from orchboard.errors import BadInputError

    if versions < 1:
        raise BadInputError("the number of versions to revert must be 1 or more")
    current = _fetch_state()[0].version
    target = max(0, current - versions)
    if current == 0:
        print("the schema is already at version 0")
        return
    _confirm(_down_question(current, target), yes=yes)
    _migrate_to(target)


@migrate.command
def goto(
    version: Annotated[int, Parameter(help="A version, from 0 to the latest.")], /, *, yes: Yes = False
) -> None:
    """Migrate to a version, up or down. Asks for confirmation before migrating down.

    **Examples**

    ```
    orchboard migrate goto 3    # the version of the reference server
    ```
    """
    current = _fetch_state()[0].version
    if version < current:
        _confirm(_down_question(current, version), yes=yes)
    _migrate_to(version)


@migrate.command(name="version")
def show_version(*, json: Annotated[bool, Parameter(help="Print JSON.", negative="")] = False) -> None:
    """Print the schema version, and the progress of moving results and building rollups. Changes nothing.

    **Examples**

    ```
    orchboard migrate version
    ```
    """
    from orchboard.cli.output import print_json
    from orchboard.store.schema.migration_files import load_migrations

    (current, progress), latest = _fetch_state(), len(load_migrations())
    if json:
        print_json(
            {"version": current.version, "dirty": current.dirty, "latest": latest, "taking_over": progress}
        )
        return
    dirty = ", dirty: this migration was started and not finished" if current.dirty else ""
    print(f"{current.version} of {latest}{dirty}")
    if progress is not None and progress.results:
        print(progress.summary)


@migrate.command
def force(
    version: Annotated[int, Parameter(help="The actual version of the schema.")], /, *, yes: Yes = False
) -> None:
    """Record that the schema is at a version, after a manual repair. Runs no migration.

    **Examples**

    ```
    orchboard migrate force 4
    ```
    """
    import asyncio

    from orchboard.store.schema.migrate import force_version

    _confirm(f"Record that the schema is at version {version}, without checking it?", yes=yes)
    with _database() as (_, connect):
        asyncio.run(force_version(connect, version))
    print(f"recorded version {version}")


@migrate.command
def new(
    name: Annotated[str, Parameter(help="A few words on what it does.")],
    /,
    *,
    directory: Annotated[
        Path | None, Parameter(help="Directory of the files. Default: the package's.")
    ] = None,
) -> None:
    """Create the two files of a new migration, for developers of orchboard.

    **Examples**

    ```
    orchboard migrate new "index for old results"
    ```
    """
    from orchboard.store.schema.migration_files import DIRECTORY, create_migration

    for path in create_migration(name, directory or DIRECTORY):
        print(path)


def _migrate_to(version: int | None) -> None:
    """Migrate to a version, None for the latest, and print each step."""
    import asyncio

    from orchboard.store.schema.create_database import ensure_database
    from orchboard.store.schema.migrate import fetch_schema_version, migrate_to

    steps: list[Step] = []

    def show(step: Step) -> None:
        steps.append(step)
        print(f"{step.version:>4} {step.direction:<4} {step.name}  {step.duration_s:.2f} s", flush=True)

    with _database() as (url, connect):

        async def run() -> SchemaVersion:
            if version is None and await ensure_database(url):
                print("created the database")
            await migrate_to(connect, version, on_step=show, lock_wait_s=limits.MIGRATE_LOCK_S)
            return await fetch_schema_version(connect)

        now = asyncio.run(run())
    print(f"the schema is {'' if steps else 'already '}at version {now.version}")


def _fetch_state() -> tuple[SchemaVersion, BackfillProgress | None]:
    """The schema version, and the progress of the backfill if the version is the latest."""
    import asyncio

    from orchboard.store.legacy_import.backfill import fetch_progress
    from orchboard.store.schema.migrate import fetch_schema_version
    from orchboard.store.schema.migration_files import load_migrations

    with _database() as (_, connect):

        async def run() -> tuple[SchemaVersion, BackfillProgress | None]:
            current = await fetch_schema_version(connect)
            if current.version != len(load_migrations()) or current.dirty:
                return current, None
            connection = await connect()
            try:
                return current, await fetch_progress(connection)
            finally:
                connection.terminate()

        return asyncio.run(run())


@contextmanager
def _database() -> Iterator[tuple[str, Connect]]:
    """The URL of the database and a function that connects to it. Driver exceptions become sentences."""
    from orchboard.cli.database import database_url, translate_driver_errors
    from orchboard.cli.settings import read_environment
    from orchboard.store.postgres.database import Database

    settings = read_environment()
    with database_url(settings) as url, translate_driver_errors():
        yield url, Database(url, connections=1, timeout_s=settings.db_timeout_s).connect


def _down_question(current: int, version: int) -> str:
    return f"Stop all orchboard servers first. Revert the schema from version {current} to {version}?"


def _confirm(question: str, *, yes: bool) -> None:
    """Return after a confirmation, or with --yes. Raises BadInputError otherwise, or without a terminal."""
    import sys

    from orchboard.errors import BadInputError

    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInputError("this may delete data, and there is no terminal to confirm it: use --yes")
    with suppress(EOFError):
        if input(f"{question} [y/N] ").strip().lower() in ("y", "yes"):
            return
    raise BadInputError("cancelled; nothing was changed")
