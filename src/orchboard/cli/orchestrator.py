"""orchboard orchestrator"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from orchboard.cli.usage import refuse_options

if TYPE_CHECKING:
    from orchboard.orchestrator_names import NamesDocument

MAX_PRINTED = 20

# A file of MAX_NAMES_IN_DOCUMENT names has some megabytes at most.
MAX_FILE_BYTES = 16 * 1024 * 1024

orchestrator = App(
    name="orchestrator",
    help="""Give orchestrators names, shown beside their addresses.

    An address has one name; several addresses may have the same. Names change neither results nor scores. These
    commands work on the database of POSTGRES, or on the embedded one. A running server notices a change within ten
    seconds.

    **Examples**

    ```
    orchboard orchestrator name 0x… "Munich Transcoding"
    orchboard orchestrator list
    ```
    """,
)


@orchestrator.command(name="name")
def set_name(
    address: Annotated[
        str, Parameter(help="Address of the orchestrator: 0x and 40 hex digits, in any case.")
    ],
    name: Annotated[
        str | None, Parameter(help="Its name: 1 to 64 printable characters, also emoji. Quote spaces.")
    ] = None,
    /,
    *,
    remove: Annotated[bool, Parameter(help="Remove its name.", negative="")] = False,
) -> None:
    """Set or remove the name of an orchestrator.

    A name set here takes precedence over one of `NAMES_URL`.

    **Examples**

    ```
    orchboard orchestrator name 0x… "Munich Transcoding"
    orchboard orchestrator name 0x… --remove
    ```
    """
    import asyncio

    from orchboard.cli.database import database_url, open_names
    from orchboard.cli.settings import read_environment
    from orchboard.errors import BadInputError
    from orchboard.orchestrator_names import parse_address, parse_name

    if remove == (name is not None):
        raise BadInputError("give either a name or --remove")
    address = parse_address(address)
    parsed = None if name is None else parse_name(name)
    settings = read_environment()

    async def update(url: str) -> None:
        async with open_names(settings, url) as names:
            if parsed is not None:
                await names.set(address, parsed)
                print(f"{address} is now {parsed}")
                return
            source = await names.remove(address)
        if source is None:
            raise BadInputError(f"{address} has no name: `orchboard orchestrator list` shows all names")
        note = "; a server with NAMES_URL may set it again" if source == "url" else ""
        print(f"the name of {address} is removed{note}")

    with database_url(settings) as url:
        asyncio.run(update(url))


@orchestrator.command(name="list")
def list_names(*, json: Annotated[bool, Parameter(help="Print JSON.", negative="")] = False) -> None:
    """List the orchestrators that have a name.

    The source is `operator` for a name set by a command, and `url` for one of `NAMES_URL`.

    **Examples**

    ```
    orchboard orchestrator list
    orchboard orchestrator list --json
    ```
    """
    import asyncio

    from orchboard.cli.cells import moment
    from orchboard.cli.database import database_url, open_names
    from orchboard.cli.output import print_json, print_table
    from orchboard.cli.settings import read_environment

    settings = read_environment()

    async def fetch(url: str) -> None:
        async with open_names(settings, url) as names:
            found = await names.fetch()
        if json:
            print_json({"orchestrators": found})
            return
        print_table(
            ("address", "name", "source", "updated"),
            [[one.address, one.name, one.source, moment(one.updated_at)] for one in found],
            empty="no orchestrator has a name",
            cut={"name": 16},
            drop=("updated", "source"),
        )

    with database_url(settings) as url:
        asyncio.run(fetch(url))


@orchestrator.command(name="import")
def import_names(
    file: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            validator=refuse_options,
            help="A CSV file in UTF-8 with the columns `address` and `name`; `-` is standard input.",
        ),
    ],
    /,
) -> int:
    """Set the names of orchestrators from a CSV file: all, or none if a line is invalid.

    The first line is `address,name`. Names that are not in the file stay.

    **Examples**

    ```
    orchboard orchestrator import names.csv
    ```
    """
    import asyncio

    from orchboard.cli.database import database_url, open_names
    from orchboard.cli.settings import read_environment
    from orchboard.errors import BadInputError
    from orchboard.orchestrator_names import read_csv_names

    called = "standard input" if file == "-" else file
    try:
        document = read_csv_names(_read(file))
    except BadInputError as error:
        raise BadInputError(f"{called}: {error}") from None
    if document.problems:
        _print_problems(called, document)
        return 1
    settings = read_environment()

    async def store(url: str) -> None:
        async with open_names(settings, url) as names:
            stored = await names.import_names(document.names)
        print(f"{stored.added:,} added, {stored.changed:,} changed, {stored.unchanged:,} unchanged")

    with database_url(settings) as url:
        asyncio.run(store(url))
    return 0


def _read(file: str) -> bytes:
    """The bytes of a file. Raises BadInputError for more than MAX_FILE_BYTES."""
    from contextlib import nullcontext

    from orchboard.errors import BadInputError

    with nullcontext(sys.stdin.buffer) if file == "-" else open(file, "rb") as source:
        content = source.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise BadInputError(f"it is larger than {MAX_FILE_BYTES // 1024**2} MiB")
    return content


def _print_problems(called: str, document: NamesDocument) -> None:
    from orchboard.cli.cells import printable

    problems = document.problems
    for problem in problems[:MAX_PRINTED]:
        print(printable(f"orchboard: {called}, {problem}"), file=sys.stderr)
    if len(problems) > MAX_PRINTED:
        print(f"orchboard: and {len(problems) - MAX_PRINTED:,} more", file=sys.stderr)
    lines = "1 line is" if len(problems) == 1 else f"{len(problems):,} lines are"
    print(f"orchboard: nothing was stored: {lines} invalid", file=sys.stderr)
