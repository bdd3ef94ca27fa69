"""Ranges of receipt time on a fixed grid: whole UTC days for the past, parts of days for the last hours.

raw_stats filters by receipt time but does not return it, so the range in which a result is found bounds its receipt time.
Duplicates are detected within a range, so a range must never be requested again in smaller ones. The size of a range depends
on how long ago it ended, and smaller sizes divide larger ones: ranges only get larger with time.
"""

from collections.abc import Iterator

from msgspec import Struct

HOUR_S, DAY_S = 3600, 86400

SETTLED_S = 6 * HOUR_S
"""Minimum age of a time range longer than an hour, counted from its end; the maximum of the overlap."""

_STEPS_S = (DAY_S, 6 * HOUR_S)


class TimeRange(Struct, frozen=True):
    """Receipt times from `since`, inclusive, to `until`, exclusive, in Unix seconds."""

    since: int
    until: int

    @property
    def seconds(self) -> int:
        """Length in seconds."""
        return self.until - self.since

    @property
    def params(self) -> dict[str, str]:
        """The parameters of the API, whose windows include both ends and have microseconds.

        The last is 0.8 µs before `until`: a double is exact to 0.24 µs there, so a server that rounds and one that
        truncates both get the microsecond before `until`.
        """
        return {"since": str(self.since), "until": f"{self.until - 1}.9999992"}

    def halves(self) -> tuple["TimeRange", "TimeRange"]:
        """The two halves of a time range of at least two seconds."""
        middle = (self.since + self.until) // 2
        return TimeRange(self.since, middle), TimeRange(middle, self.until)


def grid_ranges(since: int, until: int, *, now: int) -> Iterator[TimeRange]:
    """The time ranges of the grid that cover an interval, oldest first."""
    start = _floor(since, _step(since, now))
    while start < until:
        step = _step(start, now)
        yield TimeRange(start, start + step)
        start += step


def day_of(time_range: TimeRange) -> TimeRange:
    """The UTC day of a time range of the grid."""
    start = _floor(time_range.since, DAY_S)
    return TimeRange(start, start + DAY_S)


def _step(moment: int, now: int) -> int:
    ended = (step for step in _STEPS_S if _floor(moment, step) + step <= now - SETTLED_S)
    return next(ended, HOUR_S)


def _floor(moment: int, step: int) -> int:
    return moment // step * step
