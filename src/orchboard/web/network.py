"""GET /network: who tests, who is silent, whose results differ, and what a window brought."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchboard.analytics.history_request import HistoryRequest
from orchboard.analytics.scope import Scope
from orchboard.answers.cached_query import CachedQuery
from orchboard.answers.replies import Replies
from orchboard.api.scope_params import parse_scope_of
from orchboard.leaderboard import Leaderboard
from orchboard.reports.coverage import (
    Coverage,
    ModelCoverage,
    PipelineCoverage,
    RegionCoverage,
    Silence,
    TesterCoverage,
)
from orchboard.reports.errors import Errors
from orchboard.reports.history import History, HistoryPoint
from orchboard.stats import JobType, SeriesQuery
from orchboard.web.charts import Buckets, Chart, Line, line_of, share_chart
from orchboard.web.filters import Filters, fetch_filters
from orchboard.web.leaderboard import orchestrator_path
from orchboard.web.region_map import coverage_map
from orchboard.web.rendering import NOT_CACHED, format_age, render_text
from orchboard.web.report_page import report_page
from orchboard.web.state import SCOPE, PageState

NAMES = SCOPE
"""The parameters of the page. Coverage is always that of the last 7 days; the rest is of the window."""

POINTS = 60

MOST_DIFFERENCES, MOST_CODES, MOST_MODELS = 25, 20, 100
"""Rows of tables whose length testers determine. The JSON has the others."""

BUCKET_WORDS = {"1h": "hour", "6h": "6 hours", "1d": "day", "7d": "7 days", "30d": "30 days"}

_HEIGHT = 100.0


class Bar(Struct, frozen=True):
    """One bucket of the chart of results, on a height of 100.

    top, height -- of the scored results
    unscored_top, unscored_height -- of the others, above them
    """

    point: HistoryPoint
    top: float
    height: float
    unscored_top: float
    unscored_height: float


class _Found(Struct, frozen=True):
    """What the page shows. other -- the coverage of the other job type; serving -- orchestrators of each model"""

    coverage: Coverage
    other: Coverage
    history: History
    errors: Errors
    serving: Mapping[tuple[str, str], int]


async def network_page(request: Request, board: Leaderboard, replies: Replies) -> Response:
    """The page of the network."""
    state = PageState.parse("/network", request.query_params, NAMES)
    if "" in request.query_params.values():
        return RedirectResponse(state.link(), 303, NOT_CACHED)
    return await replies.reply(request, page_query(state, board))


def page_query(state: PageState, board: Leaderboard) -> CachedQuery:
    """The query of a page. Raises BadInputError."""
    scope = parse_scope_of(None, state.params, job_type=JobType.TRANSCODING)

    async def compute() -> bytes:
        return await _render(board, state, scope)

    return report_page(("network page", state), compute, board)


async def _render(board: Leaderboard, state: PageState, scope: Scope) -> bytes:
    found = await _find(board, scope)
    coverage, other = found.coverage, found.other
    points = found.history.lines[0].points if found.history.lines else []
    filters = await fetch_filters(board, state, scope)
    return render_text(
        "network.html",
        state=state,
        filters=filters,
        coverage=coverage,
        now=coverage.generated_at,
        regions=silent_first(coverage.regions),
        map=coverage_map(
            coverage.regions,
            filters,
            state,
            board.coordinates,
            {row.region: state_words(row, coverage.generated_at) for row in coverage.regions},
        ),
        testers=silent_first(coverage.testers),
        silent_regions=_silent(coverage.regions),
        silent_testers=_silent_testers(coverage),
        differing=[each for each in coverage.testers if each.differs_on],
        untested=_untested(filters, coverage) if scope.query.region is None else [],
        other_results=other.results,
        other_silent=len(_silent(other.regions)) + len(_silent_testers(other)),
        errors=found.errors,
        volume=found.history.lines[0] if found.history.lines else None,
        bars=bars(points),
        chart=volume_chart(found.history) if points else None,
        successes=success_chart(found.history) if points else None,
        bucket=BUCKET_WORDS[found.history.bucket],
        models=models_by_pipeline(coverage),
        most_models=MOST_MODELS,
        serving=found.serving,
        most_differences=MOST_DIFFERENCES,
        most_codes=MOST_CODES,
        state_words=state_words,
        rhythm_words=rhythm_words,
        verdict_words=verdict_words,
        orchestrator_path=orchestrator_path,
        json_urls=_json_urls(state),
    )


async def _find(board: Leaderboard, scope: Scope) -> _Found:
    from orchboard.analytics.coverage import coverage  # at first use: numpy takes 0.2 s
    from orchboard.analytics.errors import errors
    from orchboard.analytics.history import history
    from orchboard.analytics.serving import orchestrators_by_model

    [other] = set(JobType) - {scope.query.job_type}
    return _Found(
        await coverage(board, scope.query),
        await coverage(board, SeriesQuery(job_type=other)),
        await history(board, HistoryRequest(scope, points=POINTS)),
        await errors(board, scope, "code", POINTS),
        await orchestrators_by_model(board, scope) if scope.query.job_type is JobType.AI else {},
    )


def _untested(filters: Filters, coverage: Coverage) -> list[str]:
    """The codes of regions without results."""
    return sorted(set(filters.regions) - {each.region for each in coverage.regions} - {"GLOBAL"})


def silent_first(rows: Sequence[Silence]) -> list[Silence]:
    """Rows in their order, those that are silent before the others."""
    return sorted(rows, key=lambda each: each.silent_since is None)


def _silent(rows: Sequence[RegionCoverage]) -> list[RegionCoverage]:
    return [each for each in rows if each.silent_since is not None]


def _silent_testers(coverage: Coverage) -> list[TesterCoverage]:
    """Those with a name: results that no tester's own key signed are those of their region."""
    return [each for each in coverage.testers if each.tester and each.silent_since is not None]


def state_words(each: Silence, now: datetime) -> str:
    """Whether a region or tester is silent, and for how long.

    >>> hour, now = datetime(2026, 1, 1, 12), datetime(2026, 1, 1, 17)
    >>> state_words(Silence(last_hour=0, last_day=9, last_week=90, last_at=hour, usual_gap_h=1, silent_since=hour), now)
    'silent for 5 h'
    """
    if each.silent_since is None:
        return "on time"
    return f"silent for {format_age(each.silent_since, now).removesuffix(' ago')}"


def rhythm_words(gap_h: int | None) -> str:
    """How often a region or tester usually has results. gap_h -- see Silence.usual_gap_h

    >>> rhythm_words(1), rhythm_words(6), rhythm_words(72)
    ('usually every hour', 'usually every 6 h', 'usually every 3 days')
    """
    if gap_h is None:
        return "too few results to know its rhythm"
    if gap_h == 1:
        return "usually every hour"
    return f"usually every {gap_h} h" if gap_h < 48 else f"usually every {gap_h // 24} days"


def verdict_words(tester: TesterCoverage) -> str:
    """Whether the results of a tester agree with those of the others."""
    if tester.verdict == "too_few":
        return "too few in common to compare"
    if tester.verdict == "agrees":
        return "agrees with the others"
    return f"differs on {tester.differs_on} of {tester.compared} orchestrator{'' if tester.compared == 1 else 's'}"


def models_by_pipeline(coverage: Coverage) -> list[tuple[PipelineCoverage, list[ModelCoverage]]]:
    """The pipelines with their models, of all models those with the most results."""
    shown = sorted(coverage.models, key=lambda each: -each.last_week)[:MOST_MODELS]
    by_pipeline = [
        (pipeline, [each for each in shown if each.pipeline == pipeline.pipeline])
        for pipeline in coverage.pipelines
    ]
    return [(pipeline, models) for pipeline, models in by_pipeline if models]


def bars(points: Sequence[HistoryPoint]) -> list[Bar]:
    """The bars of the results of each bucket, relative to the highest one."""
    most = max((point.results + point.unscored for point in points), default=0) or 1
    found = []
    for point in points:
        height, above = _HEIGHT * point.results / most, _HEIGHT * point.unscored / most
        found.append(Bar(point, _HEIGHT - height, height, _HEIGHT - height - above, above))
    return found


def volume_chart(history: History) -> Chart | None:
    """The results of each bucket, the unscored above the scored; None without any."""
    points = history.lines[0].points
    most = max(point.results + point.unscored for point in points)
    if not most:
        return None
    lines = [
        Line("line-scored", "scored", [point.results for point in points]),
        Line("line-unscored", "unscored", [point.unscored for point in points]),
    ]
    return Chart("count", Buckets.of(history), lines, 0.0, most, (f"{most:,}", "0"), "bars")


def success_chart(history: History) -> Chart | None:
    """The mean success rate of each bucket; None without a scored result."""
    chart = share_chart(history, [line_of(history, "line-main", "Success", "success_rate")])
    return None if chart.is_empty else chart


def _json_urls(state: PageState) -> list[tuple[str, str]]:
    """What the page shows, by the API's names: label and URL. The API's default is both job types."""
    of_window = {"job_type": state.get("job_type"), **dict(state.values)}
    of_week = {name: value for name, value in of_window.items() if name not in ("window", "since", "until")}
    return [
        ("coverage", f"/api/coverage?{urlencode(of_week)}"),
        ("results", f"/api/history?{urlencode({**of_window, 'points': POINTS})}"),
        ("errors", f"/api/errors?{urlencode({**of_window, 'by': 'code', 'points': POINTS})}"),
    ]
