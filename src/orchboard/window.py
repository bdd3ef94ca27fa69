"""`since` and `until` in Unix seconds, as the aware interval they mean."""

import math
import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from orchboard.errors import BadInputError
from orchboard.stats import Window

# Python's float() also reads `1_000` and every script's digits; the wire's numbers are plain. The words are Go's, which
# the reference reads.
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|(?P<word>[+-]?inf(?:inity)?|nan)",
    re.IGNORECASE | re.ASCII,
)

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
        Without `until` a window has no end here: whose clock would say where "now" is? The store knows the database's.
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


# A window that holds nothing, whatever the time is.
_NEVER = Bounds(since=LATEST, until=EARLIEST)


def parse_bounds(since: str, until: str) -> Bounds:
    """The bounds of two parameters, an empty one being absent.

    NaN is a window that is empty, as in the reference. Any other number, infinite too, is clamped to what a database
    holds. Raises BadInputError naming the parameter that is not a number.
    """
    asked = {name: _parse_seconds(name, text) for name, text in (("since", since), ("until", until)) if text}
    if any(map(math.isnan, asked.values())):
        return _NEVER
    return Bounds(**{name: _moment(seconds) for name, seconds in asked.items()})


def parse_moment(name: str, text: str) -> datetime:
    """One moment from Unix seconds, fractions allowed, clamped to EARLIEST..LATEST.

    Raises BadInputError naming the parameter that is not a number, or is NaN.

    >>> parse_moment("since", "1e9").isoformat()
    '2001-09-09T01:46:40+00:00'
    """
    seconds = _parse_seconds(name, text)
    if math.isnan(seconds):
        raise _not_a_number(name, text)
    return _moment(seconds)


def _parse_seconds(name: str, text: str) -> float:
    """A number, which may be infinite or NaN only where that is what the text says."""
    found = _NUMBER.fullmatch(text) if len(text) <= 400 else None
    if found is None:
        raise _not_a_number(name, text)
    seconds = float(text)
    if math.isinf(seconds) and not found["word"]:  # beyond a double, which the reference refuses too
        raise _not_a_number(name, text)
    return seconds


def _moment(seconds: float) -> datetime:
    return _EPOCH + timedelta(seconds=max(_LOWEST_S, min(_HIGHEST_S, seconds)))


def _not_a_number(name: str, text: str) -> BadInputError:
    return BadInputError(f"{name} must be a number of Unix seconds, not {text[:40]!r}")
