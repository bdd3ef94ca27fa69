"""orchboard spool"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchboard.store.spool.sqlite_file import SpoolFile

SHOWN = 1000

spool = App(
    name="spool",
    help="""Look at results that are not in the database yet.

    While the database is away a server keeps the results that it acknowledges on its own disk, and stores
    them when it is back. One that can't be stored then, from an unknown region for example, is kept aside.
    These commands read the file in ORCHBOARD_DATA that belongs to the database of POSTGRES (or to the
    embedded one); the server may be running.

    **Examples**

    ```
    orchboard spool status
    orchboard region add MUC Munich && orchboard spool retry
    ```
    """,
)


@spool.command
def status(*, json: Annotated[bool, Parameter(help="As JSON.", negative="")] = False) -> None:
    """Say how many results wait for the database, and how many were put aside.

    Names the files of other databases, too: results wait there until a server runs on those.

    **Examples**

    ```
    orchboard spool status
    ```
    """
    from datetime import UTC, datetime

    from orchboard.cli.output import print_json, print_table
    from orchboard.store.spool.location import other_spools

    path = _path()
    rows = []
    for file in (path, *other_spools(path)):
        with opened(file) as spool_file:
            depth = spool_file.depth() if spool_file else None
        oldest = depth and depth.oldest
        since = datetime.fromtimestamp(oldest, UTC).isoformat(" ", "seconds") if oldest else ""
        rows.append([str(file), depth.waiting if depth else 0, since, depth.dead_letters if depth else 0])
    if json:
        names = ("file", "waiting", "oldest", "aside")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_table(("file", "waiting", "oldest", "aside"), rows, empty="")


@spool.command
def show(*, json: Annotated[bool, Parameter(help="With the whole results.", negative="")] = False) -> None:
    """List the results that were put aside, and why.

    **Examples**

    ```
    orchboard spool show
    orchboard spool show --json
    ```
    """
    from datetime import UTC, datetime

    from orchboard.cli.output import print_json, print_table

    with opened(_path()) as file:
        found = file.dead_letters(SHOWN) if file else []
    if json:
        print_json(found)
        return
    rows = [
        [
            datetime.fromtimestamp(one.received_at / 1e6, UTC).isoformat(" ", "seconds"),
            one.job_type,
            one.region,
            one.orchestrator,
            one.reason,
        ]
        for one in found
    ]
    print_table(
        ("received", "job type", "region", "orchestrator", "reason"), rows, empty="nothing was put aside"
    )


@spool.command
def retry() -> None:
    """Have the results that were put aside stored again: by the server, within seconds, if it runs.

    **Examples**

    ```
    orchboard spool retry
    ```
    """
    with opened(_path()) as file:
        number = file.retry() if file else 0
    print(f"{number} results wait for the server again" if number else "nothing was put aside")


def _path() -> Path:
    from orchboard.cli.settings import data_directory, read_environment
    from orchboard.store.spool.location import spool_path

    settings = read_environment()
    return spool_path(data_directory(settings), settings.postgres)


@contextmanager
def opened(path: Path) -> Iterator[SpoolFile | None]:
    """The file, None when there is none. Raises SetupError when it can't be read."""
    import sqlite3

    from orchboard.errors import SetupError
    from orchboard.store.spool.sqlite_file import SpoolFile

    file = SpoolFile(path, max_bytes=0) if path.exists() else None
    try:
        yield file
    except (sqlite3.Error, OSError) as error:
        raise SetupError(f"{path} can't be read: {error}") from error
    finally:
        if file:
            file.close()
