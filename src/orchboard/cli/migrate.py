"""orchboard migrate"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchboard.store.ledgers import SchemaVersion
    from orchboard.store.migrate import Connect, Step

LOCK_WAIT_S = 600.0

Yes = Annotated[bool, Parameter(name=("--yes", "-y"), help="Don't ask.", negative="")]

migrate = App(
    name="migrate",
    help="""Move the database's schema up and down.

    `orchboard serve` moves it up by itself; these commands are for doing it before, for going back, and
    for repairs. However many run at once, each version is applied once. A version is a number; 0 is
    nothing.

    `orchboard migrate version`, then `orchboard migrate up`
    """,
)


@migrate.command
def up() -> None:
    """Move up to the latest version; make the database first if it is missing and the user may.

    `orchboard migrate up`
    """
    _move(None)


@migrate.command
def down(versions: Annotated[int, Parameter(help="How many versions.")] = 1, *, yes: Yes = False) -> None:
    """Take versions back, with what they brought. Data may be lost, so it asks.

    `orchboard migrate down 1`
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
def goto(version: Annotated[int, Parameter(help="0 to the latest.")], *, yes: Yes = False) -> None:
    """Move to one version, up or down. Asks before it moves down.

    `orchboard migrate goto 3` is what the reference server knows.
    """
    current = _current().version
    if version < current:
        _confirm(_taking_back(current, version), yes=yes)
    _move(version)


@migrate.command(name="version")
def show_version(*, json: Annotated[bool, Parameter(help="As JSON.", negative="")] = False) -> None:
    """Say where the schema stands. Changes nothing.

    `orchboard migrate version`
    """
    from orchboard.cli.output import print_json
    from orchboard.store.migration_files import load_migrations

    current, latest = _current(), len(load_migrations())
    if json:
        print_json({"version": current.version, "dirty": current.dirty, "latest": latest})
    else:
        dirty = ", dirty: that version was begun and never finished" if current.dirty else ""
        print(f"{current.version} of {latest}{dirty}")


@migrate.command
def force(version: Annotated[int, Parameter(help="Where it really stands.")], *, yes: Yes = False) -> None:
    """Write down that the schema stands at a version, after you repaired it by hand. Runs nothing.

    `orchboard migrate force 4`
    """
    import asyncio

    from orchboard.store.migrate import force_version

    _confirm(f"Write down that the schema stands at version {version}, whatever is there?", yes=yes)
    with _connectable() as (_, connect):
        asyncio.run(force_version(connect, version))
    print(f"version {version} is written down")


@migrate.command
def new(
    name: Annotated[str, Parameter(help="A few words on what it brings.")],
    *,
    directory: Annotated[Path | None, Parameter(help="Where to; the package's own otherwise.")] = None,
) -> None:
    """Make the two files of a new version, for developers of orchboard.

    `orchboard migrate new "index for old results"`
    """
    from orchboard.store.migration_files import DIRECTORY, new_migration

    for path in new_migration(name, directory or DIRECTORY):
        print(path)


def _move(version: int | None) -> None:
    import asyncio

    from orchboard.store.create_database import ensure_database
    from orchboard.store.migrate import fetch_schema_version, migrate_to

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
    import asyncio

    from orchboard.store.migrate import fetch_schema_version

    with _connectable() as (_, connect):
        return asyncio.run(fetch_schema_version(connect))


@contextmanager
def _connectable() -> Iterator[tuple[str, Connect]]:
    """The database's URL and how to connect to it; what the driver raises comes out in words."""
    from orchboard.cli.database import database_url, in_words, read_environment
    from orchboard.store.database import Database

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
