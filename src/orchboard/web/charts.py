"""Charts of a history: the paths of the SVG, and the values that the script draws again with the pointer's values."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_05UP, Context
from typing import Literal, TypeAlias

from msgspec import Struct

from orchboard.reports.history import BUCKET_HOURS, History, HistoryPoint
from orchboard.web.rendering import (
    band_path,
    format_count,
    format_percent,
    format_score,
    format_seconds,
    line_path,
)

Unit: TypeAlias = Literal["score", "seconds", "percent", "count"]

WIDTH, HEIGHT = 600.0, 160.0
"""Of a chart, in its own units."""

# Of an axis of seconds: testers send any number, also those that powers of ten can't be computed of.
_LEAST_TOP = 1e-6
_DOT = re.compile(r"M[^ML]*h0")

# All digits of a value would double the size of the charts in a page.
_DIGITS = Context(prec=7, rounding=ROUND_05UP)

_FORMATS: Mapping[Unit, Callable[[float], str]] = {
    "score": format_score,
    "seconds": format_seconds,
    "percent": format_percent,
    "count": lambda value: format_count(round(value)),
}


class Line(Struct, frozen=True):
    """One line of a chart, or one part of its bars.

    kind -- its class in the style sheet, which has its colour and dash
    label -- beside its values; name -- what it is of, if the label does not say so
    values -- of each bucket; None without one
    """

    kind: str
    label: str
    values: Sequence[float | None]
    name: str = ""


class Buckets(Struct, frozen=True):
    """The times of a chart.

    since -- the start of the first bucket, were it whole; step -- the length of a bucket
    first, last -- the start of the first bucket and the end of the last one, which the window or the present may cut
    """

    since: datetime
    step: timedelta
    first: datetime
    last: datetime

    @classmethod
    def of(cls, history: History) -> "Buckets":
        """The buckets of a history with at least one point."""
        points, step = history.lines[0].points, timedelta(hours=BUCKET_HOURS[history.bucket])
        since = points[1].since - step if len(points) > 1 else points[0].since
        return cls(since, step, points[0].since, points[-1].until)


class Chart(Struct, frozen=True):
    """Lines on one axis.

    unit -- of the values
    low, top -- the ends of the axis; values beyond them are drawn there
    ticks -- labels of its top, middle and bottom
    shape -- "band": the area between the first two lines is filled; "bars": the second line's bars are on top of the first's
    """

    unit: Unit
    buckets: Buckets
    lines: Sequence[Line]
    low: float
    top: float
    ticks: tuple[str, ...]
    shape: Literal["lines", "band", "bars"] = "lines"

    @property
    def is_empty(self) -> bool:
        """Whether no line has a value."""
        return all(value is None for line in self.lines for value in line.values)

    @property
    def values(self) -> dict[str, object]:
        """What the script draws: short names and numbers, because it is in the page."""
        times = self.buckets
        factor = 100 if self.unit == "percent" else 1  # multiplied here, because the page's percentages are
        return {
            "unit": self.unit,
            "shape": self.shape,
            "times": [
                round(at.timestamp())
                for at in (times.since, times.since + times.step, times.first, times.last)
            ],
            "axis": [self.low * factor, self.top * factor],
            "lines": [
                [
                    line.kind,
                    line.label,
                    line.name,
                    [_shorten(None if value is None else value * factor) for value in line.values],
                ]
                for line in self.lines
            ],
        }

    @property
    def stroked(self) -> Sequence[Line]:
        """The lines with a value that are drawn as lines: not the upper end of a band."""
        lines = self.lines[:1] if self.shape == "band" else self.lines
        return [line for line in lines if self.path(line)]

    def path(self, line: Line) -> str:
        """The path of a line; empty without a value."""
        return line_path(self._scaled(line), WIDTH, HEIGHT)

    def dots(self, line: Line) -> str:
        """The path of the values between two gaps, which a dash would hide."""
        return "".join(_DOT.findall(self.path(line)))

    @property
    def band(self) -> str:
        """The path of the area between the first two lines."""
        if self.shape != "band":
            return ""
        lower, upper = map(self._scaled, self.lines)
        return band_path(lower, upper, WIDTH, HEIGHT)

    def end(self, line: Line) -> float | None:
        """The height at which a line ends, from the top; None without a value."""
        last = next((value for value in reversed(self._scaled(line)) if value is not None), None)
        return None if last is None else HEIGHT * (1 - last)

    def last(self, line: Line) -> str:
        """The last value of a line in words; empty without one."""
        shown = _FORMATS[self.unit]
        return next((shown(value) for value in reversed(line.values) if value is not None), "")

    def _scaled(self, line: Line) -> list[float | None]:
        span = self.top - self.low
        return [
            None if value is None else max(0.0, min(1.0, (value - self.low) / span)) for value in line.values
        ]


def _shorten(value: float | None) -> float | None:
    """7 digits, from which every shorter number is rounded as from the value itself.

    >>> _shorten(0.8250000000000001), _shorten(0.825), _shorten(None)
    (0.8250001, 0.8249999, None)
    """
    return value if value is None or isinstance(value, int) else float(_DIGITS.create_decimal(value))


def line_of(history: History, kind: str, label: str, member: str) -> Line:
    """One number of the points of the first line of a history."""
    return Line(kind, label, values_of(history.lines[0].points, member))


def values_of(points: Sequence[HistoryPoint], member: str) -> list[float | None]:
    """One number of each bucket."""
    return [getattr(point, member) for point in points]


def score_chart(history: History, lines: Sequence[Line]) -> Chart:
    """Scores, on an axis that ends at 1 and begins at a tenth below all of them."""
    low = _floor(lines)
    ticks = tuple(f"{at:.2f}" for at in (1.0, (1 + low) / 2, low))
    return Chart("score", Buckets.of(history), lines, low, 1.0, ticks)


def share_chart(history: History, lines: Sequence[Line]) -> Chart:
    """Shares in percent, on an axis that ends at 100 % and begins at a tenth below all of them."""
    low = _floor(lines)
    ticks = tuple(f"{at * 100:.0f}%" for at in (1.0, (1 + low) / 2, low))
    return Chart("percent", Buckets.of(history), lines, low, 1.0, ticks)


def seconds_chart(
    history: History, lines: Sequence[Line], shape: Literal["lines", "band"] = "lines"
) -> Chart | None:
    """Round trips, on an axis from 0; None without one."""
    most = max((value for line in lines for value in line.values if value is not None), default=0.0)
    if most <= 0:
        return None
    top = nice_top(max(most, _LEAST_TOP))
    ticks = _tick(top), _tick(top / 2), "0 s"
    return Chart("seconds", Buckets.of(history), lines, 0.0, top, ticks, shape)


def _floor(lines: Sequence[Line]) -> float:
    least = min(
        (max(value, 0.0) for line in lines for value in line.values if value is not None), default=0.0
    )
    return min(math.floor(least * 10) / 10, 0.9)


def _tick(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 99_999 else format_seconds(seconds)


def nice_top(most: float) -> float:
    """The end of an axis: 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten, at least `most`.

    >>> nice_top(0.87), nice_top(2.1), nice_top(45.0)
    (1.0, 3.0, 50.0)
    """
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= most or step == 10)
