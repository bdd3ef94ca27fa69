"""orchboard history"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from orchboard.cli.reports import FilterOptions, ServerOptions, WindowOptions

if TYPE_CHECKING:
    from orchboard.cli.cells import Cell
    from orchboard.reports.history import History, HistoryLine

By = Literal["region", "pipeline", "model", "tester"]
Bucket = Literal["1h", "6h", "1d", "7d", "30d"]
Metric = Literal["score", "success_rate", "p50", "p75", "p90", "p99"]
# As many as a terminal of 80 columns has room for.
POINTS = 30
# The width of all columns but that of names.
_BESIDE = 70


def history(
    *addresses: Annotated[
        str, Parameter(help="Orchestrators: addresses, or their beginnings. Default: the network.")
    ],
    by: Annotated[By | None, Parameter(help="One line each, with at most one orchestrator.")] = None,
    bucket: Annotated[Bucket | None, Parameter(help="Size of the buckets. Default: by --points.")] = None,
    points: Annotated[int | None, Parameter(help="Most buckets of a line. Default: 30.")] = None,
    tz: Annotated[str | None, Parameter(help="Time zone of the buckets, such as Europe/Berlin.")] = None,
    metric: Annotated[Metric, Parameter(help="What several lines are drawn of.")] = "score",
    window: WindowOptions = WindowOptions(),
    only: FilterOptions = FilterOptions(),
    server: ServerOptions = ServerOptions(),
) -> None:
    """Show scores and round trips over time.

    One line is a table with a row for each bucket. Several lines are drawn on one scale. A gap in a drawing is a bucket
    without a scored result.

    **Examples**

    ```
    orchboard history 0x… --window 30d
    orchboard history 0x… 0x… --metric p90
    orchboard history --by region --job-type ai
    ```
    """
    from orchboard.cli.output import print_text
    from orchboard.cli.reports import find_addresses, print_heading, print_or_fetch
    from orchboard.reports.history import History

    buckets = {"bucket": bucket, "points": str(points or POINTS) if bucket is None else None, "tz": tz}
    orchestrators = ",".join(find_addresses(addresses, server))
    params = {**window.params(), **only.params(), **buckets, "orchestrator": orchestrators, "by": by}
    report = print_or_fetch(History, "history", params, server)
    if report is None:
        return
    print_heading(report, f" in buckets of {report.bucket}")
    if len(report.lines) == 1:
        _print_line(report, report.lines[0])
        return
    _print_lines(report, metric)
    if report.lines_left_out:
        print_text(f"{report.lines_left_out} more have fewer results.")


def _print_line(report: History, line: HistoryLine) -> None:
    from orchboard.cli.cells import cell_of, count, decimal, percent, seconds
    from orchboard.cli.output import print_table

    if report.by != "network":
        print(cell_of(_name(report, line)))
    print()
    _print_drawings(line)
    is_daily = report.bucket in ("1d", "7d", "30d")
    rows = [
        [
            f"{point.since:%Y-%m-%d}" if is_daily else f"{point.since:%Y-%m-%d %H:%M}",
            count(point.results),
            count(point.unscored),
            decimal(point.score),
            percent(point.success_rate),
            *(seconds(getattr(point, name)) for name in ("p50", "p75", "p90", "p99")),
            "partial" if point.is_partial else "",
        ]
        for point in line.points
    ]
    headings = (
        f"from ({report.tz})",
        "results",
        "unscored",
        "score",
        "success",
        "p50",
        "p75",
        "p90",
        "p99",
        "",
    )
    print_table(headings, rows, empty="no results in this window", drop=("p75", "unscored", "", "p99"))


def _print_drawings(line: HistoryLine) -> None:
    from orchboard.cli.cells import decimal, pad, percent, seconds, sparkline

    shown = (("score", "score", decimal), ("success", "success_rate", percent), ("p50 (s)", "p50", seconds))
    for name, member, show in shown:
        values = [getattr(point, member) for point in line.points]
        known = [value for value in values if value is not None]
        if known:
            print(f"{pad(name, 7)}  {sparkline(values)}  {show(min(known))} to {show(max(known))}")
    if line.results:
        print()


def _print_lines(report: History, metric: Metric) -> None:
    from orchboard.cli.cells import count, sparkline
    from orchboard.cli.output import print_table, shown_addresses

    values = [[getattr(point, metric) for point in line.points] for line in report.lines]
    known = [value for each in values for value in each if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    names = shown_addresses([_name(report, line) for line in report.lines], beside=_BESIDE)
    rows = [
        [
            name,
            count(line.results),
            *_extremes(each, metric),
            sparkline(each, low=low, high=high),
        ]
        for name, line, each in zip(names, report.lines, values, strict=True)
    ]
    headings = (report.by, "results", "least", "most", "last", metric.replace("_", " "))
    print_table(
        headings,
        rows,
        empty="no results in this window",
        cut={report.by: 14},
        drop=("results", "least", "most"),
    )


def _extremes(values: list[float | None], metric: Metric) -> list[Cell]:
    """The least, the greatest and the last value."""
    from orchboard.cli.cells import decimal, percent, seconds

    show = decimal if metric == "score" else percent if metric == "success_rate" else seconds
    known = [value for value in values if value is not None]
    return [show(min(known)), show(max(known)), show(known[-1])] if known else [show(None)] * 3


def _name(report: History, line: HistoryLine) -> str:
    from orchboard.cli.reports import UNNAMED

    return line.name or UNNAMED.get(report.by, "the network")
