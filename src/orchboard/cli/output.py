"""What commands print: tables, progress, plain words; all safe to show whatever a server sent."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from orchboard.errors import Refusal

_GAP = "  "


def print_json(value: Any) -> None:
    """A document on standard output: indented, in UTF-8 whatever the terminal's encoding is."""
    import msgspec

    write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2))


def write_bytes(document: bytes) -> None:
    """A document on standard output as it is, with a line end."""
    sys.stdout.flush()
    sys.stdout.buffer.write(document.rstrip(b"\n") + b"\n")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table on standard output; numbers go to the right. `empty` is said, on standard error, without rows.

    On a terminal that is too narrow for the longest words of a row, each row is a record of its own, a line a column:
    an address is never broken.
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
    """How wide each column is; None when `room` is less than the longest word of every column takes."""
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
    """The text in lines of at most `width` cells, broken at spaces; a longer word has a line of its own."""
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
    """A bar on standard error, only on a terminal."""
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
    """The text without what would move the cursor or colour the terminal."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def say_waiting(problem: Refusal, seconds: float) -> None:
    """Say on standard error, at once, why a request is retried and for how long."""
    limit = f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
    print(f"orchboard: {printable(str(problem))}; retrying for {limit}", file=sys.stderr, flush=True)


class _Number(str):
    """A number's text."""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _Number(f"{value:.3f}")
    if isinstance(value, int):
        return _Number(f"{value}")
    return printable(str(value))
