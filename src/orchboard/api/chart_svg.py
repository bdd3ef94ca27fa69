"""A history as an SVG image: one line, with gaps where nothing was tested."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from orchboard.api.svg import FONT, text_width, xml_text

_SIZE = 11
_TOP, _BOTTOM, _SIDE = 30, 22, 10

# Colors of the line have a contrast of at least 4.5 on white, and on GitHub's dark page.
_STYLE = (
    "text{fill:#57606a}.name{fill:#24292f;font-weight:bold}.grid{stroke:#d0d7de}.line{stroke:#0969da}"
    "@media(prefers-color-scheme:dark){text{fill:#9198a1}.name{fill:#f0f6fc}.grid{stroke:#3d444d}.line{stroke:#4493f8}}"
)


class Point(Struct, frozen=True):
    """One bucket. value -- None: a gap"""

    since: datetime
    until: datetime
    value: float | None


class Chart(Struct, frozen=True):
    """What a chart shows.

    name -- of the line; note -- the latest number, or why there is no line
    description -- for those who do not see the image
    unit -- behind each number of the axis
    top -- of the axis, which begins at 0; None: by the largest value
    """

    name: str
    note: str
    description: str
    points: Sequence[Point]
    unit: str
    top: float | None
    width: int
    height: int


def chart_svg(chart: Chart) -> str:
    """The image."""
    top = chart.top or _round_up(max((point.value or 0.0 for point in chart.points), default=0.0))
    labels = [f"{part * top:g}{chart.unit}" for part in (1.0, 0.5, 0.0)]
    left = _SIDE + max(text_width(label, _SIZE) for label in labels) + 6
    plot = _Plot(chart, top, left)
    name, note = xml_text(chart.name), xml_text(chart.note)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{chart.width}" height="{chart.height}" '
        f'viewBox="0 0 {chart.width} {chart.height}" role="img" aria-labelledby="t d">'
        f'<title id="t">{name}: {note}</title><desc id="d">{xml_text(chart.description)}</desc><style>{_STYLE}</style>'
        f'<g font-family="{FONT}" font-size="{_SIZE}"><text class="name" x="{_SIDE}" y="17">{name}</text>'
        f'<text x="{chart.width - _SIDE}" y="17" text-anchor="end">{note}</text>'
        f"{''.join(plot.axis(labels))}{''.join(plot.times())}</g>"
        f'<path class="line" d="{" ".join(plot.line())}" fill="none" stroke-width="2" stroke-linejoin="round" '
        'stroke-linecap="round"/></svg>\n'
    )


class _Plot:
    """The area of the line."""

    def __init__(self, chart: Chart, top: float, left: float) -> None:
        self._chart = chart
        self._top = top
        self._left, self._right = left, chart.width - _SIDE - 1
        self._high, self._low = _TOP, chart.height - _BOTTOM

    def axis(self, labels: Sequence[str]) -> Iterator[str]:
        """Lines across at the top, the middle and zero, with labels."""
        for part, label in zip((1.0, 0.5, 0.0), labels, strict=True):
            y = self._y(part * self._top)
            yield f'<path class="grid" d="M{self._left:.1f} {y:.1f}H{self._right:.1f}"/>'
            yield f'<text x="{self._left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'

    def times(self) -> Iterator[str]:
        """The first and the last day."""
        if self._chart.points:
            y = self._chart.height - 6
            first, last = self._chart.points[0].since, self._chart.points[-1].until
            yield f'<text x="{self._left:.1f}" y="{y}">{first:%Y-%m-%d}</text>'
            yield f'<text x="{self._right}" y="{y}" text-anchor="end">{last:%Y-%m-%d}</text>'

    def line(self) -> Iterator[str]:
        """The commands of the path. A gap ends a part; a part of one point is a dot."""
        is_drawing = False
        for point in self._chart.points:
            if point.value is None:
                is_drawing = False
                continue
            x, y = self._x(point), self._y(point.value)
            yield f"L{x:.1f} {y:.1f}" if is_drawing else f"M{x:.1f} {y:.1f}h0"
            is_drawing = True

    def _x(self, point: Point) -> float:
        """The middle of a bucket."""
        begin, end = self._chart.points[0].since, self._chart.points[-1].until
        middle = point.since + (point.until - point.since) / 2
        return self._left + (self._right - self._left) * ((middle - begin) / (end - begin))

    def _y(self, value: float) -> float:
        within = min(max(value / self._top, 0.0), 1.0)
        return self._low - (self._low - self._high) * within


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, … or 0.5, 0.2, …; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10, 20) if step * power >= value)
