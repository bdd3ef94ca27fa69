"""orchboard why"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from orchboard.cli.reports import FilterOptions, ServerOptions, WindowOptions


def why(
    address: Annotated[str, Parameter(help="Orchestrator: its address, or the beginning.")],
    /,
    *,
    window: WindowOptions = WindowOptions(),
    only: FilterOptions = FilterOptions(),
    server: ServerOptions = ServerOptions(),
) -> None:
    """Explain the score of an orchestrator.

    The explanation has the formula with its numbers, what costs the score most, the score if that were fixed, and
    from where the orchestrator was last tested. For an orchestrator without results, it has the regions that are
    testing others.

    **Examples**

    ```
    orchboard why 0x…
    orchboard why 0x… --window 7d --job-type ai
    ```
    """
    from urllib.parse import quote

    from orchboard.cli.explanation import print_explanation
    from orchboard.cli.reports import find_addresses, print_or_fetch
    from orchboard.reports.orchestrator import Orchestrator

    [address] = find_addresses([address], server)
    params = {**window.params(), **only.params(), "recent": "0"}
    report = print_or_fetch(Orchestrator, f"orchestrators/{quote(address, safe='')}", params, server)
    if report is not None:
        print_explanation(report, is_filtered=any(only.params().values()))
