"""Spans of receipt time on a fixed grid: whole UTC days for the past, parts of them for the last hours.

raw_stats does not return the receipt time of a result, but filters by it: the span that a result was found in bounds it.
A result is recognised within its span, so a span must never be asked for again in smaller ones. The size of a span depends
on how long ago it ended, and the smaller divide the larger: time only turns small spans into large ones.
"""

from collections.abc import Iterator

from msgspec import Struct

HOUR_S, DAY_S = 3600, 86400

SETTLED_S = 6 * HOUR_S
"""How long after its end a span longer than an hour is asked for; an overlap can't be longer."""

_STEPS_S = (DAY_S, 6 * HOUR_S)


class Span(Struct, frozen=True):
    """Receipt times from `since`, included, to `until`, not included; Unix seconds."""

    since: int
    until: int

    @property
    def seconds(self) -> int:
        """How long it is."""
        return self.until - self.since

    @property
    def params(self) -> dict[str, str]:
        """As the API wants it, which includes both ends and keeps microseconds.

        The last is 0.8 µs before `until`: a double holds that to 0.24 µs, so it is the microsecond before whether a server
        rounds or truncates.
        """
        return {"since": str(self.since), "until": f"{self.until - 1}.9999992"}

    def halves(self) -> tuple["Span", "Span"]:
        """Both halves of a span of two seconds or more."""
        middle = (self.since + self.until) // 2
        return Span(self.since, middle), Span(middle, self.until)


def grid(since: int, until: int, *, now: int) -> Iterator[Span]:
    """The spans of the grid that hold everything from one moment to another, oldest first."""
    start = _floor(since, _step(since, now))
    while start < until:
        step = _step(start, now)
        yield Span(start, start + step)
        start += step


def day_of(span: Span) -> Span:
    """The UTC day that a span of the grid is in."""
    start = _floor(span.since, DAY_S)
    return Span(start, start + DAY_S)


def _step(moment: int, now: int) -> int:
    ended = (step for step in _STEPS_S if _floor(moment, step) + step <= now - SETTLED_S)
    return next(ended, HOUR_S)


def _floor(moment: int, step: int) -> int:
    return moment // step * step
