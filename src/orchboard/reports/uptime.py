"""The answer of GET /api/uptime."""

from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from orchboard.reports.envelope import Envelope

Span: TypeAlias = Literal["hour", "day"]
CellState: TypeAlias = Literal["good", "degraded", "failing", "unscored", "not_tested"]
WindowName: TypeAlias = Literal["1h", "24h", "7d", "30d", "90d"]


class UptimeCell(Struct, frozen=True, kw_only=True):
    """One hour or day.

    since -- its start, in the time zone of the answer
    until -- its end; that of the last cell is the time of the answer
    state -- `good`, `degraded` or `failing` by its uptime and the thresholds of the answer; `unscored`: it has unscored results
        only; `not_tested`: it has none
    uptime -- the share of the scored results that succeeded fully, 0 to 1; null without one
    results -- the number of scored results
    unscored -- the number of the others
    """

    since: datetime
    until: datetime
    state: CellState
    uptime: float | None
    results: int
    unscored: int


class UptimeWindow(Struct, frozen=True, kw_only=True):
    """The uptime of a window that ends now.

    window -- its name
    uptime -- the share of the scored results that succeeded fully, 0 to 1; null without one
    results -- the number of scored results
    unscored -- the number of the others
    """

    window: WindowName
    uptime: float | None
    results: int
    unscored: int


class Uptime(Envelope, frozen=True, kw_only=True):
    """Whether jobs succeeded: over time, and in windows that end now.

    span -- the size of the cells
    tz -- IANA name of the time zone that hours and days begin in
    good_from -- a cell with at least this uptime is good
    failing_below -- a cell with less than this uptime is failing; one between both thresholds is degraded
    cells -- the earliest first; the last one is the present hour or day. Where results are not kept, they begin up to a day early
    uptime -- the shortest window first
    """

    span: Span
    tz: str
    good_from: float
    failing_below: float
    cells: list[UptimeCell]
    uptime: list[UptimeWindow]
