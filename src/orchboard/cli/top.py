"""orchboard top"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from orchboard.cli.reports import FilterOptions, ServerOptions, WindowOptions

if TYPE_CHECKING:
    from datetime import datetime

    from orchboard.reports.leaderboard import Estimate, Ranking, Standing

Sort = Literal[
    "rank", "score", "success_rate", "full_success", "round_trip_score", "p50", "p90", "p99", "real_time_ratio", "results",
    "unscored", "regions", "best", "worst", "last_tested", "trend", "orchestrator",
]  # fmt: skip
LIMIT = 20
# The width of all columns but that of addresses.
_BESIDE = 150
_HEADINGS = (
    "rank", "range", "address", "score", "interval", "success", "p50", "p90", "results", "trend", "regions", "worst",
    "tested", "most frequent error", "over time",
)  # fmt: skip
_DROPPED_FIRST = (
    "most frequent error", "worst", "regions", "tested", "p90", "trend", "results", "p50", "over time", "range", "interval",
)  # fmt: skip


def top(
    *,
    search: Annotated[str | None, Parameter(help="Only addresses that begin with this.")] = None,
    min_results: Annotated[
        int | None, Parameter(help="Rank only orchestrators with at least this many scored results.")
    ] = None,
    sort: Annotated[Sort | None, Parameter(help="The number to sort by. Default: rank.")] = None,
    order: Annotated[
        Literal["asc", "desc"] | None, Parameter(help="Direction. Default: the best first.")
    ] = None,
    limit: Annotated[int, Parameter(help="Number of rows.")] = LIMIT,
    window: WindowOptions = WindowOptions(),
    only: FilterOptions = FilterOptions(),
    server: ServerOptions = ServerOptions(),
) -> None:
    """Show the orchestrators by rank.

    Without --job-type, --pipeline and --model, the scores are those of transcoding. With a pipeline or a model, they are
    those of AI. The column range shows the best and the worst rank that the 95 % intervals of all scores allow.
    Orchestrators whose ranges overlap may be equally good. p50 and p90 are round trips in seconds. A wide terminal shows
    more columns and whole addresses. All commands accept the beginning of an address.

    **Examples**

    ```
    orchboard top
    orchboard top --job-type ai --region FRA --window 7d
    orchboard top --model ByteDance/SDXL-Lightning --sort p90
    ```
    """
    from orchboard.cli.cells import count
    from orchboard.cli.output import print_text
    from orchboard.cli.reports import print_heading, print_or_fetch
    from orchboard.reports.leaderboard import Ranking

    ranked = {"search": search, "sort": sort, "order": order, "limit": str(limit)}
    params = {**window.params(), **only.params(), **ranked}
    params["min_results"] = None if min_results is None else str(min_results)
    report = print_or_fetch(Ranking, "leaderboard", params, server)
    if report is None:
        return
    print_heading(report, f", {'AI' if report.job_type == 'ai' else report.job_type}")
    _print_standings(report, sort)
    shown = len(report.orchestrators)
    if shown < report.matches:
        print_text(f"{count(shown)} of {count(report.matches)} orchestrators; --limit shows more.")


def _print_standings(report: Ranking, sort: Sort | None) -> None:
    """Print the table. The column that it is sorted by is not left out."""
    from orchboard.cli.cells import sparkline
    from orchboard.cli.output import print_table, shown_addresses

    names = shown_addresses([standing.orchestrator for standing in report.orchestrators], beside=_BESIDE)
    points = [point for standing in report.orchestrators for point in standing.sparkline if point is not None]
    sorted_by = "tested" if sort == "last_tested" else sort
    low, high = min(points, default=0.0), max(points, default=1.0)
    rows = [
        [*_numbers(name, standing, report.generated_at), sparkline(standing.sparkline, low=low, high=high)]
        for name, standing in zip(names, report.orchestrators, strict=True)
    ]
    print_table(
        _HEADINGS,
        rows,
        empty="no results in this window",
        cut={"most frequent error": 16, "address": 12},
        drop=[heading for heading in _DROPPED_FIRST if heading != sorted_by],
    )


def _numbers(name: str, standing: Standing, now: datetime) -> list[object]:
    from orchboard.cli.cells import Cell, ago, count, decimal, percent, seconds

    trips, worst = standing.round_trip, standing.worst
    return [
        Cell("-" if standing.rank is None else f"{standing.rank}", is_number=True),
        Cell("" if standing.rank is None else f"{standing.rank_low}–{standing.rank_high}", is_number=True),
        name,
        decimal(standing.score.value if standing.score else None),
        _interval(standing.score),
        percent(standing.success_rate.value if standing.success_rate else None),
        seconds(trips.p50 if trips else None),
        seconds(trips.p90 if trips else None),
        count(standing.results),
        _trend(standing.trend),
        count(standing.regions),
        f"{worst.region} {decimal(worst.score)}" if worst else "-",
        ago(standing.last_tested_at, now),
        standing.errors[0].code or "(no code)" if standing.errors else "",
    ]


def _interval(estimate: Estimate | None) -> object:
    from orchboard.cli.cells import Cell, decimal

    text = f"{decimal(estimate.low)}–{decimal(estimate.high)}" if estimate else "-"
    return Cell(text, is_number=True)


def _trend(change: float | None) -> object:
    from orchboard.cli.cells import Cell

    if change is None:
        return Cell("-", is_number=True)
    change = round(change, 3) + 0.0  # -0.0 becomes 0.0
    style = "good" if change >= 0.01 else "bad" if change <= -0.01 else ""
    return Cell(f"{change:+.3f}", is_number=True, style=style)
