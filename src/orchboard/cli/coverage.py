"""orchboard coverage"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchboard.cli.reports import FilterOptions, ServerOptions

if TYPE_CHECKING:
    from orchboard.reports.coverage import Activity, Coverage, TesterCoverage, TesterDifference

_VERDICTS = {"too_few": "-", "agrees": "agrees", "differs_on_some": "differs on some", "differs": "differs"}
MOST_DIFFERENCES = 10


def coverage(*, only: FilterOptions = FilterOptions(), server: ServerOptions = ServerOptions()) -> None:
    """Show who tests what, and who is silent.

    A region or tester is silent if the time since its last result is more than twice its usual gap. Testers are compared on
    the orchestrators that at least two others test too.

    **Examples**

    ```
    orchboard coverage
    orchboard coverage --job-type ai
    ```
    """
    from orchboard.cli.reports import print_heading, print_or_fetch
    from orchboard.reports.coverage import Coverage

    report = print_or_fetch(Coverage, "coverage", only.params(), server)
    if report is None:
        return
    print_heading(report)
    _print_silent(report)
    _print_activities(report)
    _print_testers(report)
    _print_differences(report)


def _print_silent(report: Coverage) -> None:
    from orchboard.cli.cells import moment
    from orchboard.cli.output import print_text

    silent = [
        *(
            (each.silent_since, f"region {each.region} ({each.job_type})")
            for each in report.regions
            if each.silent_since
        ),
        *(
            (each.silent_since, f"tester {_tester(each)}")
            for each in report.testers
            if each.silent_since and each.tester
        ),
    ]
    if not silent:
        print_text("No region and no tester is silent.")
    for since, name in sorted(silent, key=lambda each: each[0].timestamp()):
        print_text(f"Silent since {moment(since)} UTC: {name}")


def _print_activities(report: Coverage) -> None:
    from orchboard.cli.cells import ago, moment
    from orchboard.cli.output import print_table

    now = report.generated_at
    rows = [
        [
            each.region,
            each.job_type,
            *_activity(each),
            ago(each.last_at, now),
            moment(each.silent_since) if each.silent_since else "",
        ]
        for each in report.regions
    ]
    print()
    headings = ("region", "job type", "hour", "day", "week", "last", "silent since (UTC)")
    print_table(headings, rows, empty="no results in 7 days", drop=("week",))
    models = [
        [each.model, each.pipeline, *_activity(each), ago(each.last_at, now)]
        for each in sorted(report.models, key=lambda each: each.last_at)
    ]
    if models:
        print()
        columns = ("model", "pipeline", "hour", "day", "week", "last")
        print_table(columns, models, empty="", cut={"model": 20, "pipeline": 14}, drop=("week",))


def _activity(activity: Activity) -> list[object]:
    from orchboard.cli.cells import count

    return [count(number) for number in (activity.last_hour, activity.last_day, activity.last_week)]


def _tester(tester: TesterCoverage | TesterDifference) -> str:
    return tester.tester or f"(shared secret, {tester.region})"


def _print_testers(report: Coverage) -> None:
    from orchboard.cli.cells import Cell, ago, count
    from orchboard.cli.output import print_table

    rows = [
        [
            _tester(each),
            " ".join(each.regions),
            count(each.last_hour),
            count(each.last_day),
            ago(each.last_at, report.generated_at),
            Cell(f"{each.differs_on} of {each.compared}", is_number=True) if each.compared else "-",
            Cell(_VERDICTS[each.verdict], style="bad" if each.verdict == "differs" else ""),
        ]
        for each in report.testers
    ]
    if rows:
        print()
        headings = ("tester", "regions", "hour", "day", "last", "differs on", "verdict")
        print_table(headings, rows, empty="", cut={"tester": 20, "regions": 12}, drop=("regions",))


def _print_differences(report: Coverage) -> None:
    from orchboard.cli.cells import percent
    from orchboard.cli.output import print_table, print_text, shown_addresses

    found = report.differences[:MOST_DIFFERENCES]
    names = shown_addresses([each.orchestrator for each in found], beside=90)
    rows = [
        [
            _tester(each),
            name,
            _MEASURES[each.measure],
            _value(each, each.own),
            _value(each, each.others),
            percent(each.confidence),
        ]
        for each, name in zip(found, names, strict=True)
    ]
    if rows:
        print()
        headings = ("tester", "orchestrator", "measure", "its own", "others", "confidence")
        print_table(headings, rows, empty="", cut={"tester": 20})
    if len(report.differences) > len(found):
        print_text(
            f"{len(report.differences) - len(found)} more differences are less sure; see them with --json."
        )


_MEASURES = {"success_rate": "full success", "round_trip_time": "round trip"}


def _value(difference: TesterDifference, value: float) -> object:
    from orchboard.cli.cells import percent, seconds

    return percent(value) if difference.measure == "success_rate" else seconds(value)
