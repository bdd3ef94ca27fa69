"""Parses `since` and `until`, in Unix seconds, and resolves them to a window."""

import math
import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from orchboard.errors import BadInputError
from orchboard.stats import Window

# Stricter than float(), which also accepts `1_000` and digits of other scripts. The words are those of Go's parser, as in
# the reference.
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|(?P<word>[+-]?inf(?:inity)?|nan)",
    re.IGNORECASE | re.ASCII,
)

# Within the ranges of Postgres and Python, with room for a time zone.
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)

# A client's clock may be ahead by this much: its `until=now` is not in the future.
CLOCK_SKEW = timedelta(hours=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOWEST_S, _HIGHEST_S = ((moment - _EPOCH).total_seconds() for moment in (EARLIEST, LATEST))


class Bounds(Struct, frozen=True):
    """The requested ends of a window. None: open."""

    since: datetime | None = None
    until: datetime | None = None

    def window(self, *, now: datetime, default: timedelta) -> Window:
        """The window at `now`.

        Without bounds: the last `default`. With `since` only: from then on. With `until` only: everything before it, unless
        it is over an hour in the future; then the last `default`, as in the reference.
        Without `until` the window has no end, as only the database's clock could say what "now" is.
        """
        first = self.since
        if first is None:
            only_before = self.until is not None and self.until <= now + CLOCK_SKEW
            first = EARLIEST if only_before else now - default
        return Window(first, self.until if self.until is not None else LATEST)

    def is_sliding(self, now: datetime) -> bool:
        """Whether the bounds resolve to a different window later."""
        return self.until is None or self.until > now


ANY_TIME = Bounds()


# An empty window at any time.
_EMPTY = Bounds(since=LATEST, until=EARLIEST)


def parse_bounds(since: str, until: str) -> Bounds:
    """The bounds of two parameters. An empty parameter counts as absent.

    NaN is an empty window, as in the reference. Other numbers, also infinite ones, are clamped to EARLIEST..LATEST.
    Raises BadInputError with the name of a parameter that is not a number.
    """
    asked = {name: _parse_seconds(name, text) for name, text in (("since", since), ("until", until)) if text}
    if any(map(math.isnan, asked.values())):
        return _EMPTY
    return Bounds(**{name: _moment(seconds) for name, seconds in asked.items()})


def parse_moment(name: str, text: str) -> datetime:
    """A time from Unix seconds, which may have a fraction, clamped to EARLIEST..LATEST.

    Raises BadInputError with the name of a parameter that is not a number or is NaN.

    >>> parse_moment("since", "1e9").isoformat()
    '2001-09-09T01:46:40+00:00'
    """
    seconds = _parse_seconds(name, text)
    if math.isnan(seconds):
        raise _not_a_number(name, text)
    return _moment(seconds)


def _parse_seconds(name: str, text: str) -> float:
    """The number in a text. Infinite or NaN only if the text is such a word."""
    found = _NUMBER.fullmatch(text) if len(text) <= 400 else None
    if found is None:
        raise _not_a_number(name, text)
    seconds = float(text)
    if (
        math.isinf(seconds) and not found["word"]
    ):  # out of the range of a double; the reference refuses it too
        raise _not_a_number(name, text)
    return seconds


def _moment(seconds: float) -> datetime:
    return _EPOCH + timedelta(seconds=max(_LOWEST_S, min(_HIGHEST_S, seconds)))


def _not_a_number(name: str, text: str) -> BadInputError:
    return BadInputError(f"{name} must be a number of Unix seconds, not {text[:40]!r}")
