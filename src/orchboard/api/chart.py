"""GET /chart/{address}.svg"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias, cast, get_args

from orchboard.analytics.history_request import HistoryRequest
from orchboard.analytics.scope import WINDOWS
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.badge import ADDRESS, FILTERS, parse_own_scope
from orchboard.api.chart_svg import Chart, Point, chart_svg
from orchboard.api.endpoint import Endpoint, Param
from orchboard.api.examples import BUSY, UNAVAILABLE
from orchboard.api.params import Params
from orchboard.api.refusals import Error
from orchboard.api.scope_params import one_of, scope_max_age_s, whole_number
from orchboard.api.svg import SVG_HEADERS
from orchboard.errors import BadInputError, ClientBusyError, DatabaseUnavailableError
from orchboard.leaderboard import Leaderboard
from orchboard.reports.history import History, HistoryPoint

ChartMetric: TypeAlias = Literal["score", "success", "p50", "p90"]


class _Metric(NamedTuple):
    """What a line is of. member -- of HistoryPoint; factor -- from its numbers to those shown; top -- of the axis"""

    title: str
    member: str
    unit: str
    factor: float
    top: float | None


_METRICS: Mapping[ChartMetric, _Metric] = {
    "score": _Metric("Score", "score", "", 1.0, 1.0),
    "success": _Metric("Success rate", "success_rate", "%", 100.0, 100.0),
    "p50": _Metric("Median round trip", "p50", " s", 1.0, None),
    "p90": _Metric("90th percentile of round trips", "p90", " s", 1.0, None),
}
_NAMES: tuple[ChartMetric, ...] = get_args(ChartMetric)

_WIDTHS, _HEIGHTS = (200, 1600), (80, 800)
_DEFAULT_WIDTH, _DEFAULT_HEIGHT = 640, 200
"""The width of a README's column on GitHub is about 830 pixels."""

_PIXELS_PER_POINT = 6
# Larger numbers, which only testers that send nonsense cause, are shown with an exponent.
_SHOWN_AS_IT_IS = 1e6

_SHOWN_CHARACTERS = 13


class _Request(NamedTuple):
    """A chart as requested."""

    history: HistoryRequest
    metric: ChartMetric
    width: int
    height: int


def chart(params: Params, board: Leaderboard) -> CachedQuery:
    """A history as an image."""
    request = _parse(params)

    async def compute() -> bytes:
        from orchboard.analytics.badge import was_ever_tested  # at first use: numpy takes 0.2 s
        from orchboard.analytics.history import history

        found = await history(board, request.history)
        is_known = bool(found.results) or await was_ever_tested(board, request.history.scope.query)
        return chart_svg(_chart(request, found, is_known=is_known)).encode()

    return CachedQuery(
        ("chart", request),
        compute,
        SVG_HEADERS,
        max_age_s=scope_max_age_s(request.history.scope, board),
        repeated_s=board.reports_cache_s,
    )


def _parse(params: Params) -> _Request:
    """The request of a chart. Raises BadInputError. Unknown parameters are ignored, as pages add some to images."""
    width = whole_number(params, "width", _DEFAULT_WIDTH, least=_WIDTHS[0], most=_WIDTHS[1])
    scope = parse_own_scope(params, "30d")
    history = HistoryRequest(
        scope, tuple(scope.query.orchestrators or ()), "orchestrator", points=width // _PIXELS_PER_POINT
    )
    return _Request(
        history,
        cast("ChartMetric", one_of(params, "metric", _NAMES, "score")),
        width,
        whole_number(params, "height", _DEFAULT_HEIGHT, least=_HEIGHTS[0], most=_HEIGHTS[1]),
    )


def _chart(request: _Request, found: History, *, is_known: bool) -> Chart:
    metric, [line] = _METRICS[request.metric], found.lines
    points = [
        Point(point.since, point.until, None if number is None else number * metric.factor)
        for point in line.points
        for number in [getattr(point, metric.member)]
    ]
    values = [point.value for point in points if point.value is not None]
    note = _text(values[-1], metric) if values else _missing(found, is_known=is_known)
    return Chart(
        name=f"{metric.title} of {_short(line.name)}, {request.history.scope.window.name}",
        note=note,
        description=_describe(line.points, values, metric, found),
        points=points,
        unit=metric.unit,
        top=metric.top,
        width=request.width,
        height=request.height,
    )


def _describe(
    points: Sequence[HistoryPoint], values: Sequence[float], metric: _Metric, found: History
) -> str:
    """The line in words."""
    if not values:
        return f"{metric.title}: nothing to show. {found.results} results."
    return (
        f"{metric.title} from {points[0].since:%Y-%m-%d} to {points[-1].until:%Y-%m-%d}: lowest {_text(min(values), metric)}, "
        f"highest {_text(max(values), metric)}, last {_text(values[-1], metric)}. {found.results} results; "
        f"{len(points) - len(values)} of {len(points)} buckets of {found.bucket} without a number."
    )


def _missing(found: History, *, is_known: bool) -> str:
    if found.results:
        return "no number"
    return "not tested" if is_known else "never tested"


def _text(number: float, metric: _Metric) -> str:
    if abs(number) >= _SHOWN_AS_IT_IS:
        return f"{number:.0e}{metric.unit}"
    return f"{number:.{0 if metric.unit == '%' else 2}f}{metric.unit}"


def _short(name: str) -> str:
    """A name with at most _SHOWN_CHARACTERS: an address by its first and last digits."""
    return name if len(name) <= _SHOWN_CHARACTERS else f"{name[:8]}…{name[-4:]}"


CHART = Endpoint(
    name="chart",
    method="GET",
    path="/chart/{address}.svg",
    query=chart,
    summary="A chart of an orchestrator",
    help="Returns a line of the history as an SVG image for a README or a page, light or dark as the reader prefers. The line "
    "has gaps where there are no results. An address without results has an empty chart that says `never tested`. Parameters "
    "that are not listed are ignored.",
    params=(
        ADDRESS,
        Param("metric", f"What the line is of: {', '.join(f'`{name}`' for name in _NAMES)}. `p50` and `p90` are quantiles of the "
              "round trips. Default: `score`.", "score"),
        Param("window", f"A window that ends now: {', '.join(f'`{name}`' for name in WINDOWS)}. Default: `30d`.", "7d"),
        Param("width", f"Pixels, from {_WIDTHS[0]} to {_WIDTHS[1]}. Default: {_DEFAULT_WIDTH}.", "640"),
        Param("height", f"Pixels, from {_HEIGHTS[0]} to {_HEIGHTS[1]}. Default: {_DEFAULT_HEIGHT}.", "200"),
        *FILTERS,
    ),
    asked=("window", "width", "height"),
    answer='<svg xmlns="http://www.w3.org/2000/svg" width="640" height="200" viewBox="0 0 640 200" role="img"',
    answer_type=str,
    media_type="image/svg+xml",
    refusals={
        BadInputError: Error(f"width must be a whole number from {_WIDTHS[0]} to {_WIDTHS[1]}, not 'wide'"),
        ClientBusyError: BUSY,
        DatabaseUnavailableError: UNAVAILABLE,
    },
)  # fmt: skip
