"""The request of an uptime, and what counts as up."""

from typing import get_args

from msgspec import Struct

from orchboard.reports.uptime import Span, WindowName
from orchboard.stats import SeriesQuery

MAX_CELLS = 90
"""As many days as status pages show; wide enough for a strip at 4 pixels a cell."""

GOOD_FROM = 0.9
"""Fewer than one job in ten failed: few enough that a gateway's second attempt hides them."""

FAILING_BELOW = 0.5
"""More jobs failed than succeeded: a gateway that tries again is likely to fail again."""

SPANS: tuple[Span, ...] = get_args(Span)

WINDOWS: tuple[WindowName, ...] = get_args(WindowName)


class UptimeRequest(Struct, frozen=True):
    """An uptime as requested. Hashable: part of the key of a cached answer. tz -- the time zone's name, which was checked"""

    query: SeriesQuery
    span: Span = "day"
    cells: int = MAX_CELLS
    tz: str = "UTC"
