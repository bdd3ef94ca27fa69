"""Tables, progress bars and messages of the commands, safe to print whatever a server sent."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from orchboard.client import Retry

_GAP = "  "


def print_json(value: Any) -> None:
    """Print a document as indented JSON, in UTF-8 regardless of the terminal's encoding."""
    import msgspec

    write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2))


def write_bytes(document: bytes) -> None:
    """Print a document unchanged, with a newline at its end."""
    sys.stdout.flush()
    sys.stdout.buffer.write(document.rstrip(b"\n") + b"\n")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print a table with right-aligned numbers; without rows, print `empty` to standard error.

    If the terminal is too narrow for the longest words of a row, each row is printed as a record with one line for
    each column, so that addresses are never broken.
    """
    lines = [[_shown(value) for value in row] for row in rows]
    if not lines:
        print(empty, file=sys.stderr)
        return
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    widths = _fitting_widths([list(headings), *lines], room)
    if widths is None:
        _print_records(headings, lines, room)
        return
    numeric = [all(isinstance(row[i], _Number) for row in lines) for i in range(len(headings))]
    _print_row(headings, widths, numeric)
    print(_rule() * (sum(widths) + len(_GAP) * (len(widths) - 1)))
    for row in lines:
        _print_row(row, widths, numeric)


def _fitting_widths(rows: Sequence[Sequence[str]], room: int | None) -> list[int] | None:
    """The width of each column; None when `room` is too narrow for the longest word of each column."""
    columns = list(zip(*rows, strict=True))
    wanted = [max(map(cell_len, column)) for column in columns]
    if room is None:
        return wanted
    least = [max(cell_len(word) for text in column for word in text.split() or ("",)) for column in columns]
    spare = room - len(_GAP) * (len(columns) - 1) - sum(least)
    if spare < 0:
        return None
    widths = []
    for want, at_least in zip(wanted, least, strict=True):
        extra = min(want - at_least, spare)
        spare -= extra
        widths.append(at_least + extra)
    return widths


def _print_row(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> None:
    cells = [_wrapped(text, width) for text, width in zip(row, widths, strict=True)]
    for parts in zip_longest(*cells, fillvalue=""):
        padded = [
            " " * (width - cell_len(part)) + part if is_number else part + " " * (width - cell_len(part))
            for part, width, is_number in zip(parts, widths, numeric, strict=True)
        ]
        print(_GAP.join(padded).rstrip())


def _print_records(headings: Sequence[str], rows: Sequence[Sequence[str]], room: int | None) -> None:
    name_width = max(map(cell_len, headings))
    for number, row in enumerate(rows):
        if number:
            print()
        for heading, text in zip(headings, row, strict=True):
            first, *rest = _wrapped(text, max(1, (room or 0) - name_width - len(_GAP)))
            print(f"{heading:<{name_width}}{_GAP}{first}".rstrip())
            for part in rest:
                print(f"{'':<{name_width}}{_GAP}{part}")


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` cells, broken at spaces; a longer word gets its own line."""
    if cell_len(text) <= width:
        return [text]
    parts, line = [], ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if line and cell_len(longer) > width:
            parts.append(line)
            longer = word
        line = longer
    return [*parts, line]


def _rule() -> str:
    return "─" if sys.stdout.encoding.lower().startswith("utf") else "-"


def progress_bar(*, shown: bool = True) -> Progress:
    """A progress bar on standard error; hidden unless that is a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not (shown and sys.stderr.isatty()),
        transient=True,
    )


def printable(text: str) -> str:
    """The text with control characters replaced, which could move the cursor or change colours."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def print_first_retry(retry: "Retry") -> None:
    """Print to standard error, at the first retry of a call, why it is retried and for how long."""
    if retry.number > 1:
        return
    limit = f"{retry.left_s:.0f} s" if retry.left_s >= 1 else f"{retry.left_s:.1f} s"
    print(f"orchboard: {printable(str(retry.error))}; retrying for {limit}", file=sys.stderr, flush=True)


class _Number(str):
    """The text of a number."""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _Number(f"{value:.3f}")
    if isinstance(value, int):
        return _Number(f"{value}")
    return printable(str(value))
