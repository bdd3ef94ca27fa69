"""orchboard compare"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from orchboard.cli.reports import FilterOptions, ServerOptions, WindowOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchboard.cli.cells import Cell
    from orchboard.reports.compare import Comparison, Difference
    from orchboard.reports.leaderboard import Estimate


def compare(
    *addresses: Annotated[str, Parameter(help="2 to 6 orchestrators: addresses, or their beginnings.")],
    window: WindowOptions = WindowOptions(),
    only: FilterOptions = FilterOptions(),
    server: ServerOptions = ServerOptions(),
) -> None:
    """Compare orchestrators, and test their differences.

    The score is that of transcoding, unless --job-type is ai or an AI pipeline or model is given. A difference is beyond
    chance if its 95 % interval excludes 0.

    **Examples**

    ```
    orchboard compare 0x5b37 0xaf51
    orchboard compare 0x5b37 0xaf51 --window 7d --job-type ai
    ```
    """
    from orchboard.cli.output import shown_addresses
    from orchboard.cli.reports import find_addresses, print_heading, print_or_fetch
    from orchboard.reports.compare import Comparison

    orchestrators = ",".join(find_addresses(addresses, server))
    params = {**window.params(), **only.params(), "orchestrators": orchestrators}
    report = print_or_fetch(Comparison, "compare", params, server)
    if report is None:
        return
    found = [standing.orchestrator for standing in report.orchestrators]
    names = shown_addresses(found, beside=(len(found) - 1) * 44 + 20)
    print_heading(report, f", {'AI' if report.job_type == 'ai' else report.job_type}")
    _print_differences(report, dict(zip(found, names, strict=True)))
    _print_numbers(report, names)
    _print_regions(report, names)


def _print_differences(report: Comparison, names: dict[str, str]) -> None:
    from orchboard.cli.output import print_text

    for difference in report.differences:
        print_text(_sentence(difference, names))


def _sentence(difference: Difference, names: dict[str, str]) -> str:
    from orchboard.cli.cells import decimal

    one, other = (names.get(name, name) for name in (difference.orchestrator, difference.other))
    score = difference.score
    low, high, size = score.low, score.high, score.value
    if size < 0:
        one, other, low, high, size = other, one, -high, -low, -size
    interval = f"95 % interval {decimal(low)} to {decimal(high)}"
    if difference.is_beyond_chance:
        return f"{one} is better than {other} by {decimal(size)} ({interval})."
    return f"{one} and {other} do not differ beyond chance: {decimal(size)} ({interval})."


def _print_numbers(report: Comparison, names: Sequence[str]) -> None:
    from orchboard.cli.cells import ago, count, decimal, percent, seconds
    from orchboard.cli.output import print_table

    all_ = report.orchestrators
    trips = [each.round_trip for each in all_]
    rows: list[list[object]] = [
        ["rank", *("-" if each.rank is None else f"{each.rank} of {report.ranked}" for each in all_)],
        ["range", *("-" if each.rank is None else f"{each.rank_low}–{each.rank_high}" for each in all_)],
        ["score", *(decimal(each.score.value if each.score else None) for each in all_)],
        ["interval", *(_interval(each.score) for each in all_)],
        ["success", *(percent(each.success_rate.value if each.success_rate else None) for each in all_)],
        [
            "full success",
            *(percent(each.full_success.value if each.full_success else None) for each in all_),
        ],
        ["p50", *(seconds(trip.p50 if trip else None) for trip in trips)],
        ["p90", *(seconds(trip.p90 if trip else None) for trip in trips)],
        ["p99", *(seconds(trip.p99 if trip else None) for trip in trips)],
        ["results", *(count(each.results) for each in all_)],
        ["unscored", *(count(each.unscored) for each in all_)],
        ["tested", *(ago(each.last_tested_at, report.generated_at) for each in all_)],
    ]
    print()
    print_table(("", *names), [[name, *map(_right, values)] for name, *values in rows], empty="")


def _right(value: object) -> Cell:
    """The value, aligned as numbers are."""
    from orchboard.cli.cells import Cell, cell_of

    return Cell(cell_of(value), is_number=True)


def _interval(estimate: Estimate | None) -> str:
    from orchboard.cli.cells import decimal

    return f"{decimal(estimate.low)}–{decimal(estimate.high)}" if estimate else "-"


def _print_regions(report: Comparison, names: Sequence[str]) -> None:
    from orchboard.cli.cells import decimal
    from orchboard.cli.output import print_table

    if not report.regions:
        return
    print()
    rows = [
        [region.region, *(decimal(each.score.value if each else None) for each in region.orchestrators)]
        for region in report.regions
    ]
    print_table(("score in", *names), rows, empty="")
