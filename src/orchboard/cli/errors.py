"""orchboard errors"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from orchboard.cli.reports import FilterOptions, ServerOptions, WindowOptions

if TYPE_CHECKING:
    from orchboard.reports.errors import ErrorGroup, Errors

By = Literal["code", "region", "pipeline", "model", "tester"]


def errors(
    address: Annotated[
        str | None, Parameter(help="Orchestrator: its address, or the beginning. Default: all.")
    ] = None,
    /,
    *,
    by: Annotated[By, Parameter(help="What to count the errors by.")] = "code",
    window: WindowOptions = WindowOptions(),
    only: FilterOptions = FilterOptions(),
    server: ServerOptions = ServerOptions(),
) -> None:
    """Show the errors of results, the most frequent first.

    By code, the share is that of all results of the window, with and without errors. By region, pipeline, model or
    tester, the rate is that of its own results.

    **Examples**

    ```
    orchboard errors
    orchboard errors 0x… --window 7d --region FRA
    orchboard errors --by region --job-type ai
    ```
    """
    from orchboard.cli.reports import find_addresses, print_heading, print_or_fetch
    from orchboard.reports.errors import Errors

    orchestrator = find_addresses([address], server)[0] if address else None
    params = {**window.params(), **only.params(), "orchestrator": orchestrator, "by": by}
    report = print_or_fetch(Errors, "errors", params, server)
    if report is None:
        return
    print_heading(report)
    if by == "code":
        _print_codes(report)
    else:
        groups = {
            "region": report.regions,
            "pipeline": report.pipelines,
            "model": report.models,
            "tester": report.testers,
        }
        _print_groups(by, report, groups[by] or [])


def _print_codes(report: Errors) -> None:
    from orchboard.cli.cells import ago, count, percent
    from orchboard.cli.output import print_table

    rows = [
        [
            error.code or "(no code)",
            count(error.results),
            percent(error.share),
            count(error.count),
            ago(error.first_at, report.generated_at),
            ago(error.last_at, report.generated_at),
            error.example,
        ]
        for error in report.errors or ()
    ]
    print_table(
        ("error", "results", "share", "times", "first", "last", "example"),
        rows,
        empty="no errors",
        cut={"error": 28, "example": 16},
        drop=("times", "first", "example"),
    )


def _print_groups(by: str, report: Errors, groups: list[ErrorGroup]) -> None:
    from orchboard.cli.cells import ago, count, percent
    from orchboard.cli.output import print_table
    from orchboard.cli.reports import UNNAMED

    rows = [
        [
            " / ".join(filter(None, (group.pipeline, group.name))) or UNNAMED.get(by, ""),
            count(group.tested),
            count(group.results),
            percent(group.rate),
            ago(group.last_at, report.generated_at),
            group.code or "(no code)",
            group.example,
        ]
        for group in groups
    ]
    print_table(
        (by, "results", "errors", "rate", "last", "most frequent", "example"),
        rows,
        empty="no errors",
        cut={by: 40, "most frequent": 16, "example": 16},
        drop=("last", "example"),
    )
