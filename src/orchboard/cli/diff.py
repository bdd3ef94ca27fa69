"""orchboard diff"""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchboard.mirror.comparing import Comparison, Difference
    from orchboard.mirror.time_ranges import TimeRange


def diff(
    url: Annotated[str, Parameter(help="Base URL of a leaderboard server.")],
    other: Annotated[
        str | None,
        Parameter(help="Base URL of the second server. [ORCHBOARD_URL, else http://127.0.0.1:8080]"),
    ] = None,
    /,
    *,
    since: Annotated[
        str, Parameter(help="Start of the window: 24h, 7d, a date (UTC) or Unix seconds.")
    ] = "24h",
    until: Annotated[str | None, Parameter(help="End of the window. Default: the last full hour.")] = None,
    tolerance: Annotated[float, Parameter(help="Largest accepted difference of two numbers.")] = 1e-9,
    rate: Annotated[float, Parameter(help="Most requests per second to each server.")] = 3.0,
    scores_only: Annotated[bool, Parameter(help="Don't compare single results.", negative="")] = False,
    top: Annotated[
        bool,
        Parameter(help="Compare top_ai_score too, in each server's current default window.", negative=""),
    ] = False,
    limit: Annotated[int, Parameter(help="Number of differences to print.")] = 20,
    json: Annotated[bool, Parameter(help="Print all differences as JSON.", negative="")] = False,
) -> int:
    """List the differences between the answers of two servers.

    Compares regions, pipelines, the scores of every job type, pipeline, model and region, and all results in a window.
    Members that only one server returns are not compared. The window is extended to the intervals that `orchboard
    mirror` copies: whole hours, six hours or days. The exit status is 1 when something differs.

    **Examples**

    ```
    orchboard diff https://leaderboard.example
    orchboard diff https://leaderboard.example http://127.0.0.1:8081 --since 7d --tolerance 0.001
    ```
    """
    from orchboard.cli.mirror import print_pause
    from orchboard.cli.output import print_json
    from orchboard.cli.progress import progress
    from orchboard.cli.settings import read_environment
    from orchboard.errors import BadInputError
    from orchboard.mirror.comparing import Comparer
    from orchboard.mirror.source import Source

    settings = read_environment()
    window = _parse_window(since, until)
    if not rate > 0:
        raise BadInputError("--rate must be above 0")
    first, second = (
        Source(one, rate=rate, on_wait=print_pause) for one in (url, other or settings.orchboard_url)
    )
    with progress("comparing", unit="requests") as report:
        comparer = Comparer(first, second, tolerance=tolerance, on_progress=report)
        comparison = comparer.compare(window, with_results=not scores_only, with_top=top)
    if json:
        print_json(_document(comparison, (first.url, second.url), window))
    else:
        _print_comparison(comparison, (first.url, second.url), window, limit)
    return 1 if comparison.differences else 0


def _parse_window(since: str, until: str | None) -> TimeRange:
    """The window, extended to the grid of `orchboard mirror`. Raises BadInputError."""
    import time
    from datetime import UTC, datetime

    from orchboard.cli.times import parse_seconds
    from orchboard.errors import BadInputError
    from orchboard.mirror.time_ranges import HOUR_S, TimeRange, grid_ranges

    now = int(time.time())
    end = now // HOUR_S * HOUR_S
    if until:
        end = parse_seconds("until", until, now=datetime.fromtimestamp(end, UTC))
    start = parse_seconds("since", since, now=datetime.fromtimestamp(end, UTC))
    if not 0 <= start < end:
        raise BadInputError("--since must be before --until, and not before 1970")
    ranges = list(grid_ranges(start, end, now=now))
    return TimeRange(ranges[0].since, ranges[-1].until)


def _document(comparison: Comparison, urls: tuple[str, str], window: TimeRange) -> dict[str, object]:
    first, second = urls
    return {
        "first": first,
        "second": second,
        "since": window.since,
        "until": window.until,
        "values": comparison.values.total(),
        "differences": comparison.differences,
    }


def _print_comparison(comparison: Comparison, urls: tuple[str, str], window: TimeRange, limit: int) -> None:
    from datetime import UTC, datetime

    from orchboard.cli.cells import printable
    from orchboard.cli.output import print_table

    since, until = (
        f"{datetime.fromtimestamp(one, UTC):%Y-%m-%d %H:%M}" for one in (window.since, window.until)
    )
    for number, url in enumerate(urls, start=1):
        print(f"{number}       {printable(url)}")
    print(f"window  {since} to {until} UTC")
    differences = comparison.differences
    print()
    print_table(("value", "compared", "differ", "by at most"), _kinds(comparison), empty="")
    if differences:
        print()
        print_table(("value", "of", "1", "2", "by"), map(_row, differences[:limit]), empty="")
    print()
    if len(differences) > limit:
        print(f"{len(differences) - limit:,} more differences: raise --limit, or use --json", file=sys.stderr)
    print(f"{len(differences):,} differences in {comparison.values.total():,} values")


def _kinds(comparison: Comparison) -> Iterator[list[object]]:
    differing = Counter(difference.what for difference in comparison.differences)
    most: dict[str, float] = {}
    for difference in comparison.differences:
        most[difference.what] = max(most.get(difference.what, 0.0), difference.amount or 0.0)
    for what in {**comparison.values, **differing}:
        by = f"{most[what]:.6g}" if most.get(what) else "-"
        yield [what, comparison.values[what] or "-", differing[what], by]


def _row(difference: Difference) -> list[object]:
    words = " ".join(filter(None, (difference.orchestrator, difference.where)))
    return [
        difference.what,
        " ".join(map(_short, words.split())) if sys.stdout.isatty() else words,
        _value(difference.first),
        _value(difference.second),
        "-" if difference.amount is None else f"{difference.amount:.4g}",
    ]


def _short(word: str) -> str:
    """A word shortened to leave room for numbers; --json prints it whole."""
    return word if len(word) <= 22 else f"{word[:11]}…{word[-10:]}"


def _value(value: float | str | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.6g}"
