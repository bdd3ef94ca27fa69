"""orchboard uptime"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from orchboard.cli.reports import FilterOptions, ServerOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchboard.reports.uptime import Uptime, UptimeCell

# Cells in a line.
_IN_A_LINE = {"day": 30, "hour": 24}
# What is shown of each state, with and without an encoding that has blocks; and its style.
_STATES = {
    "good": ("█", "#", "good"),
    "degraded": ("▄", "=", "warning"),
    "failing": ("▁", "_", "bad"),
    "unscored": ("·", ".", "faint"),
    "not_tested": (" ", " ", ""),
}
MOST_OUTAGES = 5


def uptime(
    address: Annotated[
        str | None, Parameter(help="Orchestrator: its address, or the beginning. Default: all, pooled.")
    ] = None,
    /,
    *,
    span: Annotated[Literal["hour", "day"], Parameter(help="The size of a cell.")] = "day",
    cells: Annotated[int | None, Parameter(help="Number of cells. Default: 90.")] = None,
    tz: Annotated[str | None, Parameter(help="Time zone of the cells, such as Europe/Berlin.")] = None,
    only: FilterOptions = FilterOptions(),
    server: ServerOptions = ServerOptions(),
) -> None:
    """Show when jobs succeeded, as cells and percentages.

    Uptime is the share of the scored results that succeeded fully. A time without results is neither up nor down.

    **Examples**

    ```
    orchboard uptime 0x…
    orchboard uptime 0x… --span hour --cells 48 --region FRA
    ```
    """
    from orchboard.cli.cells import cell_of
    from orchboard.cli.reports import find_addresses, print_heading, print_or_fetch
    from orchboard.reports.uptime import Uptime

    orchestrator = find_addresses([address], server)[0] if address else None
    params = {**only.params(), "orchestrator": orchestrator, "span": span, "tz": tz}
    params["cells"] = None if cells is None else str(cells)
    report = print_or_fetch(Uptime, "uptime", params, server)
    if report is None:
        return
    print(cell_of(orchestrator or "all orchestrators"))
    print_heading(report)
    print()
    _print_cells(report)
    _print_outages(report)
    _print_windows(report)


def _print_cells(report: Uptime) -> None:
    from orchboard.cli.cells import styled
    from orchboard.cli.output import print_text

    in_a_line = _IN_A_LINE[report.span]
    for start in range(0, len(report.cells), in_a_line):
        line = report.cells[start : start + in_a_line]
        drawn = "".join(styled(_symbol(cell.state), _STATES[cell.state][2]) for cell in line)
        print(f"{_start(report, line[0])}  {drawn}".rstrip())
    print()
    good, degraded, failing, unscored = (
        _symbol(name) for name in ("good", "degraded", "failing", "unscored")
    )
    print_text(
        f"{good} good: from {report.good_from:.0%}, {degraded} degraded, {failing} failing: below "
        f"{report.failing_below:.0%}, {unscored} only unscored results, blank: not tested"
    )


def _symbol(state: str) -> str:
    from orchboard.cli.cells import can_show

    block, plain, _ = _STATES[state]
    return block if can_show("█▄▁") else plain


def _start(report: Uptime, cell: UptimeCell) -> str:
    return f"{cell.since:%Y-%m-%d}" if report.span == "day" else f"{cell.since:%Y-%m-%d %H:%M}"


def _print_outages(report: Uptime) -> None:
    """Print the last cells that were not good."""
    from orchboard.cli.cells import percent
    from orchboard.cli.output import print_text

    bad: Sequence[UptimeCell] = [cell for cell in report.cells if cell.state in ("degraded", "failing")]
    if not bad:
        return
    shown = [f"{_start(report, cell)} ({percent(cell.uptime)})" for cell in reversed(bad)][:MOST_OUTAGES]
    more = f", and {len(bad) - MOST_OUTAGES} more" if len(bad) > MOST_OUTAGES else ""
    print_text(f"Last degraded or failing: {', '.join(shown)}{more}.")


def _print_windows(report: Uptime) -> None:
    from orchboard.cli.cells import count, percent
    from orchboard.cli.output import print_table
    from orchboard.cli.reports import WINDOWS

    print()
    rows = [
        [WINDOWS[each.window], percent(each.uptime), count(each.results), count(each.unscored)]
        for each in report.uptime
    ]
    print_table(("", "uptime", "results", "unscored"), rows, empty="no results")
