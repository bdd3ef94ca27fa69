"""orchboard errors"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from orchboard.cli.reports import FilterOptions, ServerOptions, WindowOptions


def errors(
    address: Annotated[
        str | None, Parameter(help="Only this orchestrator. Default: the whole network.")
    ] = None,
    /,
    *,
    window: WindowOptions = WindowOptions(),
    only: FilterOptions = FilterOptions(),
    server: ServerOptions = ServerOptions(),
) -> None:
    """Show the errors of results, the most frequent first.

    The share is that of all results of the window, with and without errors.

    **Examples**

    ```
    orchboard errors
    orchboard errors 0x… --window 7d --region FRA
    orchboard errors --job-type ai --json | jq
    ```
    """
    from orchboard.cli.cells import ago, count, percent
    from orchboard.cli.output import print_table
    from orchboard.cli.reports import print_heading, print_or_fetch
    from orchboard.reports.errors import Errors

    params = {**window.params(), **only.params(), "orchestrator": address}
    report = print_or_fetch(Errors, "errors", params, server)
    if report is None:
        return
    print_heading(report)
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
    headings = ("error", "results", "share", "times", "first", "last", "example")
    print_table(
        headings, rows, empty="no errors", cut=("error", "example"), drop=("first", "times", "example")
    )
