"""Tables, progress bars and messages of the commands, safe to print whatever a server sent."""

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import zip_longest
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from orchboard.cli.cells import (
    Cell,
    can_show,
    cell_of,
    longest,
    pad,
    printable,
    short_addresses,
    shorten,
    styled,
)

if TYPE_CHECKING:
    from orchboard.client import Retry

_GAP = "  "
_TEXT_WIDTH = 80


def print_json(value: Any) -> None:
    """Print a document as indented JSON, in UTF-8 regardless of the terminal's encoding."""
    import msgspec

    write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2))


def write_bytes(document: bytes) -> None:
    """Print a document unchanged, with a newline at its end."""
    sys.stdout.flush()
    sys.stdout.buffer.write(document.rstrip(b"\n") + b"\n")


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    empty: str,
    cut: Mapping[str, int] = MappingProxyType({}),
    drop: Sequence[str] = (),
) -> None:
    """Print a table with right-aligned numbers; without rows, print `empty` to standard error.

    If the terminal is too narrow, the columns of `cut` are shortened, down to the width given there; then those of
    `drop` are left out, the first first. If the longest words of a row still do not fit, each row is printed as a record with one line for each
    column, so that addresses are never broken.
    """
    lines = [[cell_of(value) for value in row] for row in rows]
    if not lines:
        print(empty, file=sys.stderr)
        return
    room = terminal_width()
    columns = [
        _Column(cell_of(head), cells, cut.get(head)) for head, *cells in zip(headings, *lines, strict=True)
    ]
    shown, widths = _fit(columns, drop, room)
    if widths is None:
        _print_records(headings, lines, room)
    else:
        _print_columns(shown, widths)


def print_text(text: str) -> None:
    """Print a paragraph, in lines as long as the terminal is wide, and 80 cells elsewhere.

    A word that is wider than the terminal is shortened.
    """
    room = terminal_width()
    for line in _wrapped(cell_of(text), room or _TEXT_WIDTH):
        print(line if room is None else shorten(line, room))


def terminal_width() -> int | None:
    """The columns of the terminal; None if standard output is none, so that no line is shortened."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def shown_addresses(addresses: Sequence[str], *, beside: int) -> list[str]:
    """The addresses in full, or their beginnings on a terminal without room for them.

    beside -- the width of the other columns
    """
    room = terminal_width()
    return (
        list(addresses) if room is None or room >= longest(addresses) + beside else short_addresses(addresses)
    )


class _Column(NamedTuple):
    heading: Cell
    cells: Sequence[Cell]
    least_cut: int | None

    @property
    def is_number(self) -> bool:
        return all(cell.is_number for cell in self.cells)

    @property
    def wanted(self) -> int:
        return longest((self.heading, *self.cells))

    def least(self, *, wrapped: bool) -> int:
        """The width that it needs: of its longest word if cells may be wrapped."""
        if self.least_cut is not None:
            return max(min(self.wanted, self.least_cut), cell_len(self.heading))
        if not wrapped:
            return self.wanted
        return longest(word for text in (self.heading, *self.cells) for word in text.split())


def _fit(
    columns: Sequence[_Column], drop: Sequence[str], room: int | None
) -> tuple[Sequence[_Column], list[int] | None]:
    """The columns to show and their widths; None when `room` is too narrow even for the fewest, with wrapped cells."""
    shown = columns
    for left_out in range(len(drop) + 1):
        shown = [column for column in columns if column.heading not in drop[:left_out]]
        widths = _fitting_widths(shown, room, wrapped=False)
        if widths is not None:
            return shown, widths
    return shown, _fitting_widths(shown, room, wrapped=True)


def _fitting_widths(columns: Sequence[_Column], room: int | None, *, wrapped: bool) -> list[int] | None:
    """The width of each column; None when `room` is too narrow."""
    wanted = [column.wanted for column in columns]
    if room is None:
        return wanted
    least = [column.least(wrapped=wrapped) for column in columns]
    spare = room - len(_GAP) * (len(columns) - 1) - sum(least)
    if spare < 0:
        return None
    widths = []
    for want, at_least in zip(wanted, least, strict=True):
        extra = min(want - at_least, spare)
        spare -= extra
        widths.append(at_least + extra)
    return widths


def _print_columns(columns: Sequence[_Column], widths: Sequence[int]) -> None:
    _print_row(columns, [column.heading for column in columns], widths)
    print(_rule() * (sum(widths) + len(_GAP) * (len(widths) - 1)))
    for row in zip(*(column.cells for column in columns), strict=True):
        _print_row(columns, row, widths)


def _print_row(columns: Sequence[_Column], row: Sequence[Cell], widths: Sequence[int]) -> None:
    cells = [
        [shorten(cell, width)] if column.least_cut is not None else _wrapped(cell, width)
        for column, cell, width in zip(columns, row, widths, strict=True)
    ]
    for parts in zip_longest(*cells, fillvalue=""):
        padded = [
            pad(part, width, right=column.is_number, style=cell.style)
            for column, cell, part, width in zip(columns, row, parts, widths, strict=True)
        ]
        print(_GAP.join(padded).rstrip())


def _print_records(headings: Sequence[str], rows: Sequence[Sequence[Cell]], room: int | None) -> None:
    name_width = longest(headings)
    for number, row in enumerate(rows):
        if number:
            print()
        for heading, text in zip(headings, row, strict=True):
            first, *rest = _wrapped(text, max(1, (room or 0) - name_width - len(_GAP)))
            print(f"{heading:<{name_width}}{_GAP}{styled(first, text.style)}".rstrip())
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
    return "─" if can_show("─") else "-"


class _Completed(ProgressColumn):
    """`1,200/120,000`. Rich's own column has no separators."""

    def render(self, task: Task) -> Text:
        total = "?" if task.total is None else f"{task.total:,.0f}"
        return Text(f"{task.completed:,.0f}/{total}", style="progress.download")


def progress_bar(*, shown: bool = True) -> Progress:
    """A progress bar on standard error; hidden unless that is a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        _Completed(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not (shown and sys.stderr.isatty()),
        transient=True,
    )


@cache  # an export that is continued tells it with each answer
def print_kept_since(moment: datetime) -> None:
    """Print to standard error, once, that results before a time are not in the output."""
    print(
        f"orchboard: results before {moment.astimezone(UTC):%Y-%m-%d %H:%M} (UTC) are not kept",
        file=sys.stderr,
        flush=True,
    )


def print_first_retry(retry: "Retry") -> None:
    """Print to standard error, at the first retry of a call, why it is retried and for how long."""
    if retry.number > 1:
        return
    limit = f"{retry.left_s:.0f} s" if retry.left_s >= 1 else f"{retry.left_s:.1f} s"
    print(f"orchboard: {printable(str(retry.error))}; retrying for {limit}", file=sys.stderr, flush=True)
