"""The table, for a terminal and for a document."""

from collections.abc import Sequence

from bench.figures import Row

HEADINGS = ("work", "ours", "peer", "ratio", "target", "met")


def cells(row: Row) -> tuple[str, ...]:
    """Return the cells of a row."""
    digits = 2 if (row.ratio or 0) < 10 else 1 if (row.ratio or 0) < 100 else 0
    ratio = "" if row.ratio is None else f"{row.ratio:,.{digits}f}x"
    met = {None: "", True: "met", False: "NOT met"}[row.met]
    return (row.work, row.ours, row.peer, ratio, row.target, met)


def render_text(rows: Sequence[Row]) -> str:
    """Return the table in aligned columns."""
    lines = [HEADINGS, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    drawn = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([drawn[0], "─" * sum((*widths, 2 * len(widths) - 2)), *drawn[1:]])


def render_markdown(rows: Sequence[Row]) -> str:
    """Return the table in Markdown."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
