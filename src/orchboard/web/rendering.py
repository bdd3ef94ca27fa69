"""Pages from templates: the format of numbers, and the headers of every page."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from orchboard.answers.answer import Headers
from orchboard.web.assets import asset_url

if TYPE_CHECKING:
    from jinja2 import Environment

# No frames, nothing from other hosts, no script or style inside a page.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

LEAST_RANGE = 0.2
"""Of the scale of a sparkline, so that a score that hardly changes looks flat."""

# Of a mean of regions: ones in three of them add up to 0.9999999999999999.
_ROUNDING_ERROR = 1e-9

NOT_CACHED = {"Cache-Control": "no-store"}

HTML_HEADERS: Headers = (
    (b"cache-control", b"public, max-age=30"),
    (b"cdn-cache-control", b"public, s-maxage=30, stale-while-revalidate=15"),
    *((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()),
    (b"content-type", b"text/html; charset=utf-8"),
)
"""Of a page that is cached."""


has_status_page: ContextVar[bool] = ContextVar("has_status_page", default=False)
"""Whether pages that are rendered in this context link to /status."""


def render_page(template: str, status: int, headers: Mapping[str, str], **context: Any) -> Response:
    """A response with the rendered template."""
    text = render_text(template, **context)
    return Response(text, status, media_type="text/html", headers={**SECURITY_HEADERS, **headers})


def render_text(template: str, **context: Any) -> bytes:
    """The rendered template."""
    return _environment().get_template(template).render(context).encode()


def format_score(value: float) -> str:
    """Three decimals; only a bound for a value far out of range.

    >>> format_score(0.8949131045632943), format_score(-1e300)
    ('0.895', '<-9')
    """
    if abs(value) >= 9:
        return ">9" if value > 0 else "<-9"
    return f"{value:.3f}"


def format_percent(value: float) -> str:
    """A fraction in percent with one decimal; 100.0 for 1 only, up to the rounding errors of a mean.

    >>> format_percent(0.5), format_percent(0.99999), format_percent(1.0), format_percent(0.9999999999999999)
    ('50.0%', '99.9%', '100.0%', '100.0%')
    """
    if 0.999 < value < 1 - _ROUNDING_ERROR:
        return "99.9%"
    if abs(value) >= 9:
        return ">900%" if value > 0 else "<-900%"
    return f"{value * 100:.1f}%"


def format_seconds(value: float) -> str:
    """Seconds with two decimals; only a bound for a value far out of range.

    >>> format_seconds(0.873), format_seconds(1e300)
    ('0.87 s', '>99999 s')
    """
    if abs(value) >= 99_999:
        return ">99999 s" if value > 0 else "<-99999 s"
    return f"{value:,.2f} s"


def format_count(value: int) -> str:
    """A whole number with separators.

    >>> format_count(12345)
    '12,345'
    """
    return f"{value:,}"


def format_ratio(value: float) -> str:
    """How many times.

    >>> format_ratio(3.14159), format_ratio(1e9)
    ('3.1×', '>999×')
    """
    return ">999×" if value > 999 else f"{value:.1f}×"


def format_change(value: float) -> str:
    """The change of a score, with its sign.

    >>> format_change(0.01234), format_change(-0.5), format_change(0.0001)
    ('+0.012', '−0.500', '±0.000')
    """
    if abs(value) < 0.0005:
        return "±0.000"
    return f"{'+' if value > 0 else '−'}{abs(min(max(value, -9.0), 9.0)):.3f}"


def format_age(moment: datetime, now: datetime) -> str:
    """How long ago something was, in its largest unit; `just now` also for a moment that is a little ahead.

    >>> format_age(datetime(2026, 1, 1, 12), datetime(2026, 1, 1, 15, 59))
    '3 h ago'
    """
    seconds = (now - moment).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago" if seconds >= 1 else "just now"


def format_duration(seconds: float) -> str:
    """A duration in its largest unit.

    >>> [format_duration(seconds) for seconds in (0.00123, 0.5, 42.0, 119.0, 7300.0, 200_000.0)]
    ['1.2 ms', '500 ms', '42 s', '119 s', '2 h', '2 d']
    """
    if seconds < 1:
        return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def format_bytes(size: int) -> str:
    """A number of bytes in MB, kB below a tenth of one.

    >>> format_bytes(67_100_000), format_bytes(3500)
    ('67.1 MB', '3.5 kB')
    """
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def part_of_100(value: float) -> str:
    """A fraction as a position on a scale of 100 units, limited to 0 and 100."""
    return f"{max(0.0, min(1.0, value)) * 100:.1f}"


def line_path(values: Sequence[float | None], width: float, height: float, top: float = 1.0) -> str:
    """The path of a line through values from 0 to `top`, each in the middle of its bucket; with gaps at None.

    >>> line_path([0.0, None, 1.0, 1.0], 40, 10)
    'M5 10h0M25 0L35 0'
    """
    commands, is_drawing = [], False
    for at, value in enumerate(values):
        if value is None:
            is_drawing = False
            continue
        x = (at + 0.5) * width / len(values)
        y = height * (1 - max(0.0, min(1.0, value / top if top else 0.0)))
        has_next = at + 1 < len(values) and values[at + 1] is not None
        commands.append(
            f"{'L' if is_drawing else 'M'}{x:.4g} {y:.4g}" + ("" if is_drawing or has_next else "h0")
        )
        is_drawing = True
    return "".join(commands)


def sparkline_path(values: Sequence[float | None], width: float, height: float) -> str:
    """The path of a line through the known values, from one to the next, on a scale of its own: from the lowest to the highest,
    or LEAST_RANGE around their middle.

    >>> sparkline_path([0.8, None, 0.9], 30, 10)
    'M5 7.5L25 2.5'
    """
    known = [max(-9.0, min(9.0, value)) for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    if high - low < LEAST_RANGE:
        low = (low + high - LEAST_RANGE) / 2
        high = low + LEAST_RANGE
    scaled = iter([height * (high - value) / (high - low) for value in known])
    points = [
        f"{(at + 0.5) * width / len(values):.4g} {next(scaled):.4g}"
        for at, value in enumerate(values)
        if value is not None
    ]
    return "M" + "L".join(points) + ("h0" if len(points) == 1 else "")


def band_path(
    lower: Sequence[float | None], upper: Sequence[float | None], width: float, height: float
) -> str:
    """The path of the area between two lines of values from 0 to 1; with gaps where one is None.

    >>> band_path([0.0, 0.0, None], [1.0, 0.5, 1.0], 30, 10)
    'M5 0L15 5L15 10L5 10Z'
    """
    runs: list[list[tuple[float, float, float]]] = [[]]
    for at, (low, high) in enumerate(zip(lower, upper, strict=True)):
        if low is None or high is None:
            runs.append([])
            continue
        bottom, top = (height * (1 - max(0.0, min(1.0, value))) for value in (low, high))
        runs[-1].append(((at + 0.5) * width / len(lower), bottom, top))
    return "".join(
        "M" + "L".join(f"{x:.4g} {upper:.4g}" for x, _, upper in run)
        + "L" + "L".join(f"{x:.4g} {lower:.4g}" for x, lower, _ in reversed(run)) + "Z"
        for run in runs
        if len(run) > 1
    )  # fmt: skip


def format_day(moment: datetime) -> str:
    """A date."""
    return f"{moment:%Y-%m-%d}"


def format_moment(moment: datetime) -> str:
    """A time to the minute, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def split_address(address: str) -> tuple[str, str, str]:
    """Start, middle and end of an orchestrator's address. A narrow page hides the middle.

    >>> split_address("0x22a48674a6fdf9335d89b6dbc05c38e2dc181475")
    ('0x22a4', '8674a6fdf9335d89b6dbc05c38e2dc18', '1475')
    """
    return (address[:6], address[6:-4], address[-4:]) if len(address) > 13 else (address, "", "")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined  # imported with the first page: 50 ms

    environment = Environment(
        loader=PackageLoader("orchboard.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["asset_url"] = asset_url
    environment.globals["has_status_page"] = has_status_page.get
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}  # of `tojson`
    environment.filters |= {
        "score": format_score,
        "percent": format_percent,
        "seconds": format_seconds,
        "count": format_count,
        "ratio": format_ratio,
        "change": format_change,
        "age": format_age,
        "duration": format_duration,
        "bytes": format_bytes,
        "part_of_100": part_of_100,
        "line_path": line_path,
        "sparkline_path": sparkline_path,
        "day": format_day,
        "moment": format_moment,
        "split_address": split_address,
    }
    return environment
