"""`since` and `until` in Unix seconds, as the aware interval they mean."""

import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from orchboard.errors import BadInputError
from orchboard.stats import Window

# Python's float() also reads `1_000`, `inf`, `nan` and every script's digits; the wire's numbers are plain.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")

# Inside both Postgres's and Python's range, with room for a time zone.
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)

# A reader's clock may be ahead of ours without its `until=now` meaning the future.
CLOCK_SKEW = timedelta(hours=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOWEST_S, _HIGHEST_S = ((moment - _EPOCH).total_seconds() for moment in (EARLIEST, LATEST))


class Bounds(Struct, frozen=True):
    """What a reader asked of time, whenever that was; None is what was left open."""

    since: datetime | None = None
    until: datetime | None = None

    def window(self, *, now: datetime, default: timedelta) -> Window:
        """The window they mean at `now`.

        Neither: the last `default`. Only `since`: everything from then on. Only `until`: everything before it, unless it
        is over an hour ahead: that bounds nothing yet, and the last `default` is meant, as in the reference.
        Without `until` a window has no end: whose clock would say where "now" is?
        """
        first = self.since
        if first is None:
            only_before = self.until is not None and self.until <= now + CLOCK_SKEW
            first = EARLIEST if only_before else now - default
        return Window(first, self.until if self.until is not None else LATEST)

    def moves(self, now: datetime) -> bool:
        """Whether the same bounds mean another window later."""
        return self.until is None or self.until > now


ANY_TIME = Bounds()


def parse_bounds(since: str, until: str) -> Bounds:
    """The bounds of two parameters, an empty one being absent.

    Raises BadInputError naming the one that is no finite number; any finite one is clamped to what a database holds.
    """
    return Bounds(
        parse_moment("since", since) if since else None, parse_moment("until", until) if until else None
    )


def parse_moment(name: str, text: str) -> datetime:
    """One moment from Unix seconds, fractions allowed, clamped to EARLIEST..LATEST.

    >>> parse_moment("since", "1e9").isoformat()
    '2001-09-09T01:46:40+00:00'
    """
    seconds = float(text) if len(text) <= 400 and _NUMBER.match(text) else float("nan")
    if not float("-inf") < seconds < float("inf"):
        raise BadInputError(f"{name} must be a finite number of Unix seconds, not {text[:40]!r}")
    return _EPOCH + timedelta(seconds=max(_LOWEST_S, min(_HIGHEST_S, seconds)))
