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
    help="""Show results that are not in the database yet.

    While the database is unavailable, a server writes the results that it acknowledges to a spool on its disk. It
    replays them when the database is available again. A result that can't be stored then, for example from an
    unknown region, becomes a dead letter. These commands read the spool file in ORCHBOARD_DATA for the database of
    POSTGRES, or for the embedded one. The server may run meanwhile.

    **Examples**

    ```
    orchboard spool status
    orchboard region add MUC Munich && orchboard spool retry
    ```
    """,
)


@spool.command
def status(*, json: Annotated[bool, Parameter(help="Print JSON.", negative="")] = False) -> None:
    """Print the number of spooled results and of dead letters.

    Lists the files of other databases too: their results are replayed by a server that uses that database.

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
        with open_spool(file) as spool_file:
            depth = spool_file.depth() if spool_file else None
        oldest = depth and depth.oldest
        since = datetime.fromtimestamp(oldest, UTC).isoformat(" ", "seconds") if oldest else ""
        rows.append([str(file), depth.waiting if depth else 0, since, depth.dead_letters if depth else 0])
    if json:
        names = ("file", "waiting", "oldest", "aside")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_table(("file", "waiting", "oldest", "dead letters"), rows, empty="")


@spool.command
def show(
    *, json: Annotated[bool, Parameter(help="Print JSON, with the complete results.", negative="")] = False
) -> None:
    """List the dead letters and their reasons.

    **Examples**

    ```
    orchboard spool show
    orchboard spool show --json
    ```
    """
    from datetime import UTC, datetime

    from orchboard.cli.output import print_json, print_table

    with open_spool(_path()) as file:
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
        ("received", "job type", "region", "orchestrator", "reason"), rows, empty="there are no dead letters"
    )


@spool.command
def retry() -> None:
    """Queue all dead letters for replay. A running server stores them within seconds.

    **Examples**

    ```
    orchboard spool retry
    ```
    """
    with open_spool(_path()) as file:
        number = file.retry() if file else 0
    print(f"results queued for replay: {number}" if number else "there are no dead letters")


def _path() -> Path:
    from orchboard.cli.settings import data_directory, read_environment
    from orchboard.store.spool.location import spool_path

    settings = read_environment()
    return spool_path(data_directory(settings), settings.postgres)


@contextmanager
def open_spool(path: Path) -> Iterator[SpoolFile | None]:
    """The spool file; None when it does not exist. Raises SetupError when it can't be read."""
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
