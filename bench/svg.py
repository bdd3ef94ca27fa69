"""Plots as SVG for light and dark backgrounds, without a library."""

import math
from html import escape

from bench.figures import Line, Plot

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 80, 20, 44, 84

# Distinguishable for the colour-blind (Okabe and Ito), with contrast on white and on black.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333 }
.title { font-size: 15px; font-weight: 600 }
.grid { stroke: #8883; stroke-width: 1 }
.line { fill: none; stroke-width: 2.5 }
.page { fill: #fff }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .page { fill: #14171a } }
"""


class Axis:
    """Maps values to positions on one axis, and selects its labels.

    values -- all drawn values; above 0 if is_log
    start, end -- positions in the drawing
    """

    def __init__(self, values: list[float], *, is_log: bool, start: float, end: float) -> None:
        self._is_log = is_log
        self._start, self._end = start, end
        if is_log:
            self._low, self._high = (
                math.floor(math.log10(min(values)) * 3) / 3,
                math.ceil(math.log10(max(values)) * 3) / 3,
            )
            if self._high == self._low:
                self._high += 1 / 3
        else:
            self._low, self._high = 0.0, (max(values) or 1.0) * 1.1

    def at(self, value: float) -> float:
        """Return the position of a value in the drawing."""
        scaled = math.log10(value) if self._is_log else value
        return self._start + (scaled - self._low) / (self._high - self._low) * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Return the labelled values: 1, 2 and 5 times powers of ten."""
        if self._is_log:
            exponents = range(math.floor(self._low) - 1, math.ceil(self._high) + 1)
            steps = (1, 2, 5) if self._high - self._low < 2.5 else (1,)
            candidates = [step * 10.0**exponent for exponent in exponents for step in steps]
            return [v for v in candidates if self._low - 1e-9 <= math.log10(v) <= self._high + 1e-9]
        rough = self._high / 5
        step = min(
            (s * 10.0 ** math.floor(math.log10(rough)) for s in (1, 2, 5, 10)), key=lambda s: abs(s - rough)
        )
        return [number * step for number in range(int(self._high / step) + 1)]


def render_svg(plot: Plot) -> str:
    """Return a complete SVG document."""
    xs = [x for line in plot.lines for x, _ in line.points]
    ys = [y for line in plot.lines for _, y in line.points]
    across = Axis(xs, is_log=plot.is_log, start=LEFT, end=WIDTH - RIGHT)
    up = Axis(ys, is_log=plot.is_log, start=HEIGHT - BOTTOM, end=TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(plot.title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        f'<text class="title" x="{LEFT}" y="26">{escape(plot.title)}</text>',
    ]
    for value in across.ticks():
        x = across.at(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{_short(value)}</text>'
        )
    for value in up.ticks():
        y = up.at(value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - BOTTOM + 40}" text-anchor="middle">{escape(plot.x)}</text>'
    )
    parts.append(
        f'<text transform="translate(20 {middle}) rotate(-90)" text-anchor="middle">{escape(plot.y)}</text>'
    )
    for number, line in enumerate(plot.lines):
        parts += _draw(line, COLOURS[number % len(COLOURS)], across, up, number, len(plot.lines))
    return "\n".join([*parts, "</svg>", ""])


def _draw(line: Line, colour: str, across: Axis, up: Axis, number: int, of: int) -> list[str]:
    """Return a line with its points, and its entry in the legend."""
    points = [(across.at(x), up.at(y)) for x, y in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts = [f'<polyline class="line" stroke="{colour}" points="{path}"/>']
    if len(points) <= 20:
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
    x = LEFT + (WIDTH - LEFT - RIGHT) * number / of
    parts.append(f'<rect x="{x:.1f}" y="{HEIGHT - 26}" width="14" height="6" rx="2" fill="{colour}"/>')
    parts.append(f'<text x="{x + 20:.1f}" y="{HEIGHT - 18}">{escape(line.name)}</text>')
    return parts


def _short(value: float) -> str:
    """Format a value for an axis.

    >>> _short(10_000_000), _short(20_000), _short(0.5)
    ('10M', '20k', '0.5')
    """
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{letter}"
    return f"{value:g}"
