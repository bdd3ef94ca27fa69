"""orchboard export"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Literal, cast

from cyclopts import Parameter

from orchboard.cli.reports import FilterOptions, WindowOptions

if TYPE_CHECKING:
    from orchboard.client.export import ExportFilter, Format

_READ_BYTES = 1024 * 1024


def export(
    what: Annotated[
        Literal["results", "rollups"],
        Parameter(help="`results`: each stored result. `rollups`: sums by series and hour or day."),
    ] = "results",
    /,
    *,
    format: Annotated[  # noqa: A002 - the name of the option
        Literal["ndjson", "csv", "parquet"] | None,
        Parameter(help="Default: by the ending of --output, else ndjson."),
    ] = None,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="File to write. Default: standard output.")
    ] = None,
    resume: Annotated[
        bool,
        Parameter(help="Continue --output, an interrupted export, after its last complete row.", negative=""),
    ] = False,
    orchestrator: Annotated[str | None, Parameter(help="Only this orchestrator's results.")] = None,
    window: WindowOptions = WindowOptions(),
    only: FilterOptions = FilterOptions(),
    scored: Annotated[
        Literal["true", "false"] | None,
        Parameter(help="true: only results that count in scores; false: only the others."),
    ] = None,
    payload: Annotated[bool, Parameter(help="With the stored JSON of each result.", negative="")] = False,
    bucket: Annotated[Literal["1h", "1d"] | None, Parameter(help="Length of rollups. Default: 1h.")] = None,
    limit: Annotated[int | None, Parameter(help="Maximum number of rows. Default: all.")] = None,
    cursor: Annotated[
        str | None,
        Parameter(help="Continue after this row: EVENT_TIME_ID of a result, BUCKET_SERIES of a rollup."),
    ] = None,
    url: Annotated[
        str | None, Parameter(help="Base URL of the server. [ORCHBOARD_URL, else http://127.0.0.1:8080]")
    ] = None,
    timeout: Annotated[float | None, Parameter(help="Seconds to wait for an answer. Default: 30.")] = None,
) -> None:
    """Write the results of any window, or their sums, to a file.

    When the connection breaks, the export continues after the last row; each result is written once. Without --window, --since and
    --until, the window is the last 24 hours. A Parquet file can't be continued, and the server needs pyarrow to write it.

    **Examples**

    ```
    orchboard export --window 30d -o results.csv
    orchboard export --window all --payload | zstd > results.ndjson.zst
    orchboard export rollups --bucket 1d --window 1y -o days.parquet
    ```
    """
    from orchboard.cli.reports import ServerOptions, open_client
    from orchboard.errors import BadInputError

    file_format = format or _format_of(output)
    if resume and (output is None or file_format == "parquet" or cursor):
        raise BadInputError("--resume continues a file of --output in ndjson or csv, without --cursor")
    if file_format == "parquet" and output is None and sys.stdout.isatty():
        raise BadInputError("a Parquet file is not for a terminal: use --output")
    params = {
        **window.params(),
        **only.params(),
        "orchestrator": orchestrator,
        "limit": limit,
        "cursor": cursor,
    }
    others = {"bucket": bucket, "payload": payload or None, "scored": scored}
    scope = cast("ExportFilter", params | others)
    with open_client(ServerOptions(url=url, timeout=timeout)) as client:
        if resume:
            with _opened(output, resume=True) as file:
                scope["cursor"] = _cut_to_last_row(file, file_format)
                _write(client.export_pieces(what, file_format, **scope), file)
            return
        pieces = iter(client.export_pieces(what, file_format, **scope))
        first = next(pieces, b"")  # a refusal leaves the file as it was
        with _opened(output, resume=False) as file:
            _write(chain([first], pieces), file)


def _format_of(output: Path | None) -> Format:
    endings: dict[str, Format] = {".csv": "csv", ".parquet": "parquet"}
    return endings.get(output.suffix.lower() if output else "", "ndjson")


def _opened(output: Path | None, *, resume: bool) -> IO[bytes]:
    """The file to write. Raises BadInputError."""
    from orchboard.errors import BadInputError

    if output is None:
        return open(sys.stdout.fileno(), "wb", closefd=False)
    try:
        return output.open("r+b" if resume else "wb")
    except OSError as error:
        raise BadInputError(f"can't write {output}: {(error.strerror or 'failed').lower()}") from None


def _cut_to_last_row(file: IO[bytes], file_format: Format) -> str | None:
    """Remove an incomplete row from the end of a file; the cursor after the last complete row, None without one."""
    from orchboard.client.export import RECORDS
    from orchboard.errors import BadInputError

    records, end = RECORDS[file_format](), 0
    records.begin(has_header=True)
    while piece := file.read(_READ_BYTES):
        end += len(records.take(piece))
    try:
        cursor = records.cursor
    except (ValueError, KeyError):
        raise BadInputError(f"{file.name} is not an export in {file_format}") from None
    file.seek(end)
    file.truncate()
    return cursor


def _write(pieces: Iterable[bytes], file: IO[bytes]) -> None:
    for piece in pieces:
        file.write(piece)
    file.flush()
