"""Pages from templates: the format of numbers, and the headers of every page."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from orchboard.web.assets import asset_url

if TYPE_CHECKING:
    from jinja2 import Environment

# No scripts, no frames, nothing from other hosts: a page loads its style sheet and its icon only.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


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
    """A fraction in percent with one decimal; 100.0 for exactly 1 only.

    >>> format_percent(0.5), format_percent(0.99999), format_percent(1.0)
    ('50.0%', '99.9%', '100.0%')
    """
    if 0.999 < value < 1:
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
    return f"{value:.2f} s"


def bar_length(value: float) -> str:
    """The length of a bar of 100 units for a fraction, limited to 0 and 100."""
    return f"{max(0.0, min(1.0, value)) * 100:.1f}"


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
    environment.filters |= {
        "score": format_score,
        "percent": format_percent,
        "seconds": format_seconds,
        "bar_length": bar_length,
        "moment": format_moment,
        "split_address": split_address,
    }
    return environment
