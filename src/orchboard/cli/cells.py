"""Text for terminals: safe whatever a server sent, measured in cells, cut to a width, in the terminal's encoding."""

import math
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from rich.cells import cell_len, set_cell_size
from rich.console import Console

from orchboard.stats import is_address

BLOCKS = "▁▂▃▄▅▆▇█"
# For terminals without BLOCKS: characters of growing density.
_ASCII_BLOCKS = ".:-=+*#@"
_SHORT_ADDRESS = len("0x") + 8
_CODES = {"good": "32", "warning": "33", "bad": "31", "faint": "2"}


class Cell(str):
    """A text that needs no cleaning, with its alignment and style.

    is_number -- aligned to the right
    style -- `good`, `warning`, `bad`, `faint` or empty
    """

    is_number: bool
    style: str

    def __new__(cls, text: str, *, is_number: bool = False, style: str = "") -> "Cell":
        """A cell with this text."""
        cell = super().__new__(cls, text)
        cell.is_number, cell.style = is_number, style
        return cell


def cell_of(value: object) -> Cell:
    """The cell that shows a value: numbers with up to three decimals, anything else as clean text."""
    if isinstance(value, Cell):
        return value
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, float):
        return Cell(f"{value:.3f}", is_number=True)
    if isinstance(value, int):
        return Cell(f"{value}", is_number=True)
    return Cell(_substituted(printable(str(value))))


def printable(text: str) -> str:
    """The text with control characters replaced, which could move the cursor or change colours."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _substituted(text: str) -> str:
    """The text with substitutes for what the encoding of standard output lacks, so that it is as wide as measured."""
    encoding = sys.stdout.encoding
    return text if text.isascii() else text.encode(encoding, sys.stdout.errors or "replace").decode(encoding)


def can_show(text: str) -> bool:
    """Whether the encoding of standard output has these characters."""
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True


def shorten(text: str, width: int) -> str:
    """The text in at most `width` cells; a longer one ends in an ellipsis."""
    if cell_len(text) <= width:
        return text
    ellipsis = "…" if can_show("…") else "..."
    if width <= len(ellipsis):
        return ellipsis[:width]
    return set_cell_size(text, width - len(ellipsis)).rstrip() + ellipsis


def pad(text: str, width: int, *, right: bool = False, style: str = "") -> str:
    """The text in a style, with spaces up to `width` cells, at its left if it is aligned to the right."""
    spaces, text = " " * (width - cell_len(text)), styled(text, style)
    return spaces + text if right else text + spaces


def styled(text: str, style: str) -> str:
    """The text in a style; unchanged unless standard output is a terminal with colours and NO_COLOR is not set."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style and text and _has_colours() else text


def _has_colours() -> bool:
    console = Console()
    return sys.stdout.isatty() and console.color_system is not None and not console.no_color


def sparkline(values: Sequence[float | None], *, low: float | None = None, high: float | None = None) -> str:
    """One character a value, as high as the value between `low` and `high`; a space for None.

    low, high -- None: the least and the greatest value
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    blocks = BLOCKS if can_show(BLOCKS) else _ASCII_BLOCKS
    least = min(known, default=0.0) if low is None else low
    most = max(known, default=0.0) if high is None else high
    return "".join(
        _block(value, least, most, blocks) if value is not None and math.isfinite(value) else " "
        for value in values
    )


def _block(value: float, least: float, most: float, blocks: str) -> str:
    if most <= least:
        return blocks[-1 if value > 0 else 0]
    part = (value - least) / (most - least)
    return blocks[max(0, min(len(blocks) - 1, int(part * len(blocks))))]


def count(number: int) -> Cell:
    """A number of things, with separators of thousands."""
    return Cell(f"{number:,}", is_number=True)


def decimal(value: float | None, digits: int = 3) -> Cell:
    """A number with a fixed number of decimals; a dash for None."""
    return _number(None if value is None else f"{value:.{digits}f}")


def percent(share: float | None) -> Cell:
    """A share from 0 to 1 as percent. Only all is 100 % and only nothing is 0 %; a dash for None."""
    if share is None:
        return _number(None)
    share = round(share, 9)  # sums of floats may miss 1 by their last digit
    if share in (0, 1):
        return _number(f"{share:.0%}")
    if 0 < share < 0.001:
        return _number("<0.1%")
    return _number("99.9%" if 0.999 < share < 1 else f"{share:.1%}")


def seconds(duration: float | None) -> Cell:
    """Seconds with three digits: 0.83, 12.4, 340; a dash for None."""
    if duration is None:
        return _number(None)
    digits = 2 if abs(duration) < 9.995 else 1 if abs(duration) < 99.95 else 0
    return _number(f"{duration:.{digits}f}")


def _number(text: str | None) -> Cell:
    return Cell("-" if text is None else text, is_number=True)


def moment(time: datetime | None) -> str:
    """A time in UTC to the minute; a dash for None."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}" if time else "-"


def ago(time: datetime | None, now: datetime) -> str:
    """How long ago a time was, in its largest unit: `now`, `5 min ago`, `3 h ago`, `12 d ago`; `never` for None."""
    if time is None:
        return "never"
    elapsed = max(now - time, timedelta())
    for unit, length in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1))):
        if elapsed >= (2 * length if unit == "d" else length):
            return f"{elapsed // length} {unit} ago"
    return "now" if elapsed < timedelta(seconds=1) else f"{elapsed // timedelta(seconds=1)} s ago"


def short_addresses(addresses: Sequence[str]) -> list[str]:
    """The beginning of each address, long enough to tell them apart; any other name in full."""
    for length in range(_SHORT_ADDRESS, 42):
        beginnings = [address[:length] if is_address(address) else address for address in addresses]
        if len(set(beginnings)) == len(set(addresses)):
            return beginnings
    return list(addresses)


def longest(texts: Iterable[str]) -> int:
    """The cells that the longest of some texts takes."""
    return max(map(cell_len, texts), default=0)
