"""What an analytics query selects: which series, and which window; and the members of `Envelope`."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.reports.envelope import AnswerWindow
from orchboard.stats import SeriesQuery, Window
from orchboard.store.postgres.clock import SECOND, from_pg_time, round_down, to_pg_time
from orchboard.window import EARLIEST, LATEST, Bounds

if TYPE_CHECKING:
    from orchboard.store.details.details import Details


class NamedWindow(Struct, frozen=True):
    """A window that ends now. length -- None: from the first result; step -- its start is rounded down to a multiple of this"""

    length: timedelta | None
    step: timedelta


WINDOWS: Mapping[str, NamedWindow] = {
    "1h": NamedWindow(timedelta(hours=1), timedelta(minutes=1)),
    "24h": NamedWindow(timedelta(hours=24), timedelta(minutes=10)),
    "7d": NamedWindow(timedelta(days=7), timedelta(hours=1)),
    "30d": NamedWindow(timedelta(days=30), timedelta(hours=1)),
    "90d": NamedWindow(timedelta(days=90), timedelta(hours=6)),
    "1y": NamedWindow(timedelta(days=365), timedelta(hours=6)),
    "all": NamedWindow(None, timedelta(hours=6)),
}
"""The values of the parameter `window`."""

DEFAULT_WINDOW = "24h"


class WindowRequest(Struct, frozen=True):
    """A window as requested: by name, or by bounds that may be open. Exactly one of both is given."""

    name: str | None = DEFAULT_WINDOW
    bounds: Bounds = Bounds()

    def resolve(self, board: Leaderboard) -> Window:
        """The window as of now; `until` is LATEST if it is open."""
        if self.name is None:
            return board.window(self.bounds)
        named = WINDOWS[self.name]
        if named.length is None:
            return Window(EARLIEST, LATEST)
        return Window(round_down(board.now() - named.length, named.step), LATEST)

    def is_sliding(self, now: datetime) -> bool:
        """Whether it resolves to another window later."""
        return self.name is not None or self.bounds.is_sliding(now)


class Scope(Struct, frozen=True):
    """Which results a query selects. Hashable: part of the key of a cached answer."""

    query: SeriesQuery
    window: WindowRequest = WindowRequest()


def answer_window(request: WindowRequest, window: Window, now: datetime) -> AnswerWindow:
    """The window of an answer that is computed now."""
    since = None if window.since <= EARLIEST else window.since
    return AnswerWindow(request.name, since, min(window.until, now) if window.until < LATEST else now)


class Extent(Struct, frozen=True):
    """How much there is in some details.

    since, until -- the window; see Details
    results -- scored or not
    first, last -- receipt times of the first and the last result, in microseconds since 2000; None without any
    """

    since: int | None
    until: int | None
    results: int
    first: int | None
    last: int | None

    @classmethod
    def of(cls, details: "Details") -> "Extent":
        """Of one window."""
        sums = details.sums
        results = int(sums.results.sum() + sums.unscored.sum())
        first, last = (int(sums.first.min()), int(sums.last.max())) if results else (None, None)
        return cls(details.since, details.until, results, first, last)

    @classmethod
    def joined(cls, parts: Sequence["Extent"]) -> "Extent":
        """Of windows, of which the first begins and the last ends. parts -- at least one"""
        return cls(
            parts[0].since,
            parts[-1].until,
            sum(part.results for part in parts),
            min((part.first for part in parts if part.first is not None), default=None),
            max((part.last for part in parts if part.last is not None), default=None),
        )


def envelope_of(request: WindowRequest, window: Window, now: datetime, *details: "Details") -> dict[str, Any]:
    """The members of `Envelope`, for an answer from some details, the first of which begins with the window."""
    none = Extent(None, None, 0, None, None)
    extent = Extent.joined([Extent.of(each) for each in details]) if details else none
    return envelope_of_extent(request, window, now, extent)


def envelope_of_extent(
    request: WindowRequest, window: Window, now: datetime, extent: Extent
) -> dict[str, Any]:
    """The members of `Envelope`. extent -- of what the answer is made from"""
    if extent.since is not None and to_pg_time(window.since) > extent.since:
        window = Window(from_pg_time(extent.since), window.until)
    if extent.until is not None and to_pg_time(window.until) - extent.until > SECOND:
        window = Window(window.since, from_pg_time(extent.until))
    return {
        "generated_at": now,
        "last_result_at": None if extent.last is None else from_pg_time(extent.last),
        "window": answer_window(request, window, now),
        "results": extent.results,
    }


def check_window_name(name: str) -> str:
    """A name of WINDOWS. Raises BadInputError."""
    if name not in WINDOWS:
        raise BadInputError(f"window must be one of {', '.join(WINDOWS)}, not {name[:40]!r}")
    return name
