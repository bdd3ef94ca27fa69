"""What commands print: tables, progress, plain words; all safe to show whatever a server sent."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

# Wide enough that a table in a pipe is never cut or folded.
_PIPE_WIDTH = 1000


def print_json(value: Any) -> None:
    """A document on standard output: indented, as it is encoded by msgspec."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table on standard output; numbers go to the right. `empty` is said, on standard error, without rows."""
    lines = [[_shown(value) for value in row] for row in rows]
    if not lines:
        print(empty, file=sys.stderr)
        return
    numeric = [all(isinstance(row[i], _Number) for row in lines) for i in range(len(headings))]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading, is_number in zip(headings, numeric, strict=True):
        table.add_column(
            heading, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number
        )
    for row in lines:
        table.add_row(*[Text(text) for text in row])
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False).print(table)


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
