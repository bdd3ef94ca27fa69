"""orchboard migrate"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchboard.store.legacy_import.progress import Progress
    from orchboard.store.schema.migrate import Connect, Step
    from orchboard.store.schema.version_tables import SchemaVersion

LOCK_WAIT_S = 600.0
SHOW_EVERY_S, TELL_EVERY_S = 0.5, 10.0
SETTLE_EVERY_S = 0.5

Yes = Annotated[bool, Parameter(name=("--yes", "-y"), help="Don't ask.", negative="")]

migrate = App(
    name="migrate",
    help="""Move the database's schema up and down.

    `orchboard serve` moves it up by itself; these commands are for doing it before, for going back, and
    for repairs. However many run at once, each version is applied once. A version is a number; 0 is
    nothing.

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
        bool, Parameter(help="Leave the results to the servers, which do it in the background.", negative="")
    ] = False,
) -> None:
    """Move up to the latest version; make the database first if it is missing and the user may.

    Then bring its results up: those of a database that was taken over are moved, and what is over is summed
    up. Servers may serve meanwhile; broken off, it goes on where it was the next time.

    **Examples**

    ```
    orchboard migrate up
    orchboard migrate up --schema-only
    ```
    """
    _move(None)
    if not schema_only:
        _take_over()


@migrate.command
def down(versions: Annotated[int, Parameter(help="How many versions.")] = 1, /, *, yes: Yes = False) -> None:
    """Take versions back, with what they brought. Data may be lost, so it asks.

    **Examples**

    ```
    orchboard migrate down 1
    ```
    """
    from orchboard.errors import BadInputError

    if versions < 1:
        raise BadInputError("the number of versions to take back must be 1 or more")
    current = _current().version
    target = max(0, current - versions)
    if current == 0:
        print("the schema is at version 0 already")
        return
    _confirm(_taking_back(current, target), yes=yes)
    _move(target)


@migrate.command
def goto(version: Annotated[int, Parameter(help="0 to the latest.")], /, *, yes: Yes = False) -> None:
    """Move to one version, up or down. Asks before it moves down.

    **Examples**

    ```
    orchboard migrate goto 3    # the version of the reference server
    ```
    """
    current = _current().version
    if version < current:
        _confirm(_taking_back(current, version), yes=yes)
    _move(version)


@migrate.command(name="version")
def show_version(*, json: Annotated[bool, Parameter(help="As JSON.", negative="")] = False) -> None:
    """Say where the schema stands, and how far its results are brought up. Changes nothing.

    **Examples**

    ```
    orchboard migrate version
    ```
    """
    from orchboard.cli.output import print_json
    from orchboard.store.schema.migration_files import load_migrations

    (current, progress), latest = _look(), len(load_migrations())
    if json:
        print_json(
            {"version": current.version, "dirty": current.dirty, "latest": latest, "taking_over": progress}
        )
        return
    dirty = ", dirty: that version was begun and never finished" if current.dirty else ""
    print(f"{current.version} of {latest}{dirty}")
    if progress is not None and progress.results:
        print(progress.says)


@migrate.command
def force(version: Annotated[int, Parameter(help="Where it really stands.")], /, *, yes: Yes = False) -> None:
    """Write down that the schema stands at a version, after you repaired it by hand. Runs nothing.

    **Examples**

    ```
    orchboard migrate force 4
    ```
    """
    import asyncio

    from orchboard.store.schema.migrate import force_version

    _confirm(f"Write down that the schema stands at version {version}, whatever is there?", yes=yes)
    with _connectable() as (_, connect):
        asyncio.run(force_version(connect, version))
    print(f"version {version} is written down")


@migrate.command
def new(
    name: Annotated[str, Parameter(help="A few words on what it brings.")],
    /,
    *,
    directory: Annotated[Path | None, Parameter(help="Where to; the package's own otherwise.")] = None,
) -> None:
    """Make the two files of a new version, for developers of orchboard.

    **Examples**

    ```
    orchboard migrate new "index for old results"
    ```
    """
    from orchboard.store.schema.migration_files import DIRECTORY, new_migration

    for path in new_migration(name, directory or DIRECTORY):
        print(path)


def _move(version: int | None) -> None:
    import asyncio

    from orchboard.store.schema.create_database import ensure_database
    from orchboard.store.schema.migrate import fetch_schema_version, migrate_to

    steps: list[Step] = []

    def show(step: Step) -> None:
        steps.append(step)
        print(f"{step.version:>4} {step.direction:<4} {step.name}  {step.duration_s:.2f} s", flush=True)

    with _connectable() as (url, connect):

        async def run() -> SchemaVersion:
            if version is None and await ensure_database(url):
                print("the database was missing and is made")
            await migrate_to(connect, version, on_step=show, lock_wait_s=LOCK_WAIT_S)
            return await fetch_schema_version(connect)

        now = asyncio.run(run())
    print(f"the schema is at version {now.version}{'' if steps else ' already'}")


def _current() -> SchemaVersion:
    return _look()[0]


def _look() -> tuple[SchemaVersion, Progress | None]:
    """Where the schema stands, and how far the results are where it is the latest."""
    import asyncio

    from orchboard.store.legacy_import.progress import fetch_progress
    from orchboard.store.schema.migrate import fetch_schema_version
    from orchboard.store.schema.migration_files import load_migrations

    with _connectable() as (_, connect):

        async def run() -> tuple[SchemaVersion, Progress | None]:
            current = await fetch_schema_version(connect)
            if current.version != len(load_migrations()) or current.dirty:
                return current, None
            connection = await connect()
            try:
                return current, await fetch_progress(connection)
            finally:
                connection.terminate()

        return asyncio.run(run())


def _take_over() -> None:
    """Move results and sum them up, showing how far it is; says nothing when there is nothing to do."""
    import asyncio
    import time

    from orchboard.store.legacy_import.progress import take_over
    from orchboard.store.rollups.builder import Sealer

    moved = spans = 0

    def count_moved(number: int) -> None:
        nonlocal moved
        moved += number

    def count_span(_: object) -> None:
        nonlocal spans
        spans += 1

    with _connectable() as (_, connect):

        async def run() -> None:
            showing = asyncio.create_task(_show_progress(connect))
            connection = await connect()
            try:
                while True:
                    tried_at = time.monotonic()
                    if await take_over(
                        connection, Sealer(connection), on_batch=count_moved, on_span=count_span
                    ):
                        return
                    # Others hold the old table. A try reads all of it, so it is not worth to be at it all the time.
                    await asyncio.sleep(min(max(time.monotonic() - tried_at, SETTLE_EVERY_S), TELL_EVERY_S))
            finally:
                showing.cancel()
                await asyncio.gather(showing, return_exceptions=True)
                connection.terminate()

        began_at = time.monotonic()
        asyncio.run(run())
    if moved or spans:
        took_s = time.monotonic() - began_at
        print(f"moved {moved:,} results and summed up {spans:,} spans of time in {took_s:.1f} s")


async def _show_progress(connect: Connect) -> None:
    """A bar each on a terminal, else a line now and then; until cancelled. Other processes' share counts too."""
    import asyncio
    import sys

    from orchboard.cli.output import progress_bar
    from orchboard.store.legacy_import.progress import fetch_progress

    connection = await connect()
    try:
        with progress_bar() as bar:
            moving, summing = bar.add_task("moving", total=None), bar.add_task("summing up", total=None)
            while True:
                await asyncio.sleep(SHOW_EVERY_S if sys.stderr.isatty() else TELL_EVERY_S)
                now = await fetch_progress(connection)
                bar.update(moving, total=now.results, completed=now.results - now.unmoved)
                bar.update(summing, total=now.results, completed=now.summed_up)
                if not sys.stderr.isatty():
                    print(now.says, file=sys.stderr, flush=True)
    finally:
        connection.terminate()


@contextmanager
def _connectable() -> Iterator[tuple[str, Connect]]:
    """The database's URL and how to connect to it; what the driver raises comes out in words."""
    from orchboard.cli.database import database_url, in_words
    from orchboard.cli.settings import read_environment
    from orchboard.store.postgres.database import Database

    settings = read_environment()
    with database_url(settings) as url, in_words():
        yield url, Database(url, connections=1, timeout_s=settings.db_timeout_s).connect


def _taking_back(current: int, version: int) -> str:
    return f"Servers of this version must be stopped first. Take the schema back from version {current} to {version}?"


def _confirm(question: str, *, yes: bool) -> None:
    """Go on after a yes; where nobody can be asked, only with --yes. Raises BadInputError otherwise."""
    import sys

    from orchboard.errors import BadInputError

    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInputError("this may lose data, and nobody can be asked here: say --yes")
    with suppress(EOFError):
        if input(f"{question} [y/N] ").strip().lower() in ("y", "yes"):
            return
    raise BadInputError("left as it was")
