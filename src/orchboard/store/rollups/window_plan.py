"""Coverage: which part of a window is summed up, which lies in the midst of a span, and which in neither."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import asyncpg
import numpy as np
from msgspec import Struct

from orchboard.store.rollups.buckets import HOUR, MINUTE, SIX_HOURS, TEN_MINUTES
from orchboard.store.rollups.group_index import Numbers

# A span with more results is not read into memory for the sake of a window's edge.
LARGEST_BLOCK = 100_000


class BucketKey(NamedTuple):
    """A sealed span as it was summed up once. Times in microseconds since 2000."""

    level: int
    start: int
    revision: int


class Piece(NamedTuple):
    """Part of a sealed span: from `since` until before `until`."""

    span: BucketKey
    since: int
    until: int


class Split(Struct, frozen=True):
    """A window in parts that do not overlap. Times in microseconds since 2000, the second one excluded.

    whole -- sealed spans within it, the largest that fit
    pieces -- parts of sealed spans, where it begins or ends in the midst of one
    unsummed -- the rest, for which nothing is at hand; usually nothing was received then
    recent -- from what is summed up to its end; empty when the first is not before the second
    """

    whole: list[BucketKey]
    pieces: list[Piece]
    unsummed: list[tuple[int, int]]
    recent: tuple[int, int]


class _Zone(NamedTuple):
    """A stretch of time whose gaps are divided by the spans of one level, at these places; from first to last."""

    since: int
    until: int
    places: list[int]
    starts: list[int]
    ends: list[int]


class _Inside(NamedTuple):
    """What is summed up within a window.

    spans -- the largest that fit, in order
    gaps -- between them
    edges -- where the first begins and the last ends; None without any
    """

    spans: list[BucketKey]
    gaps: list[tuple[int, int]]
    edges: tuple[int, int] | None


# So many windows are remembered; they differ when a span lies in one and not in the other.
_MOST_REMEMBERED = 64


class Coverage:
    """What the database has summed up, as of one look at it.

    recent_since -- from where on nothing was summed up yet, in microseconds since 2000
    """

    def __init__(self, row: asyncpg.Record, recent_since: int) -> None:
        """Take in a row of `coverage`. recent_since -- where nothing was summed up lately."""
        self._starts = _numbers(row["starts"], ">i8")
        self._ends = _numbers(row["ends"], ">i8")
        self._sealed = np.frombuffer(row["sealed"] or b"", np.bool_)
        self._revisions = _numbers(row["revisions"], ">i8")
        self._results = _numbers(row["results"], ">i8")
        self._levels = _numbers(row["levels"], ">i4")
        self.recent_since = self._summed_until(recent_since)
        self._zones = list(self._divide_time())
        self._edges: list[int] = np.sort(np.concatenate([self._starts, self._ends])).tolist()
        self._remembered: dict[tuple[int, int], _Inside] = {}

    def _summed_until(self, otherwise: int) -> int:
        """The end of the last ten minutes that are summed up, and of the single minutes that follow without a gap."""
        tens = self._ends[self._sealed & (self._levels == TEN_MINUTES.number)]
        reached = int(tens.max()) if len(tens) else otherwise
        minutes = self._sealed & (self._levels == MINUTE.number)
        ends = dict(zip(self._starts[minutes].tolist(), self._ends[minutes].tolist(), strict=True))
        while reached in ends:
            reached = ends[reached]
        return reached

    @cached_property
    def results_a_microsecond(self) -> float:
        """How many results the sealed spans have on average: of the level that has most."""
        lengths = self._ends - self._starts
        sealed = [self._sealed & (self._levels == level) for level in set(self._levels.tolist())]
        return max((self._results[at].sum() / lengths[at].sum() for at in sealed if at.any()), default=0.0)

    def results_of(self, span: BucketKey) -> int:
        """How many results a sealed span has."""
        first, last = self._starts.searchsorted((span.start, span.start + 1)).tolist()
        return int(self._results[first:last][self._levels[first:last] == span.level].sum())

    def split(self, since: int, until: int, *, held_since: int) -> Split:
        """A window in its parts. held_since -- from where on results are in memory: recent_since, or later."""
        summed_until = max(since, min(until, self.recent_since))
        held_from = max(summed_until, min(until, held_since))
        inside = self._largest_within(since, summed_until)
        pieces: list[Piece] = []
        unsummed = [(summed_until, held_from)] if summed_until < held_from else []
        for gap in _gaps(inside, since, summed_until):
            self._divide(*gap, pieces, unsummed)
        return Split(list(inside.spans), pieces, unsummed, (held_from, until))

    def _largest_within(self, since: int, until: int) -> _Inside:
        """The sealed spans to answer from; the same for all windows that no span tells apart."""
        window = bisect_left(self._edges, since), bisect_right(self._edges, until)
        if (found := self._remembered.get(window)) is None:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            found = self._remembered[window] = self._find_largest_within(since, until)
        return found

    def _find_largest_within(self, since: int, until: int) -> _Inside:
        """In the order of the spans, one that begins before those before it end lies in a larger one."""
        first, last = self._starts.searchsorted((since, until)).tolist()
        fits = self._sealed[first:last] & (self._ends[first:last] <= until)
        inside = first + np.flatnonzero(fits)
        reached = np.maximum.accumulate(np.concatenate([[since], self._ends[inside]]))
        chosen = inside[reached[:-1] <= self._starts[inside]]
        starts, ends = self._starts[chosen].tolist(), self._ends[chosen].tolist()
        gaps = [(end, start) for end, start in zip(ends[:-1], starts[1:], strict=True) if end < start]
        spans = [self._key(place) for place in chosen.tolist()]
        return _Inside(spans, gaps, (starts[0], ends[-1]) if spans else None)

    def _divide(self, since: int, until: int, pieces: list[Piece], unsummed: list[tuple[int, int]]) -> None:
        """Divide a gap: what lies in sealed spans into pieces of them, the rest is unsummed."""
        for zone in self._zones:  # from the latest to the earliest
            start, end = max(since, zone.since), min(until, zone.until)
            if start < end:
                first, last = bisect_right(zone.ends, start), bisect_left(zone.starts, end)
                for number in reversed(range(first, last)):
                    begins, ends = max(start, zone.starts[number]), min(end, zone.ends[number])
                    if ends < until:
                        unsummed.append((ends, until))
                    pieces.append(Piece(self._key(zone.places[number]), begins, ends))
                    until = begins
        if since < until:
            unsummed.append((since, until))

    def _divide_time(self) -> Iterator[_Zone]:
        """The zones, from the latest on: the shorter spans are kept for a while only."""
        until = self.recent_since
        for level in _DIVIDING:
            fit = self._sealed & (self._levels == level.number) & (self._results <= LARGEST_BLOCK)
            places = np.flatnonzero(fit & (self._starts < until))
            if len(places):
                since = int(self._starts[places[0]])
                starts, ends = self._starts[places].tolist(), self._ends[places].tolist()
                yield _Zone(since, until, places.tolist(), starts, ends)
                until = since

    def _key(self, place: int) -> BucketKey:
        return BucketKey(int(self._levels[place]), int(self._starts[place]), int(self._revisions[place]))


def _gaps(inside: _Inside, since: int, until: int) -> list[tuple[int, int]]:
    """What of a window lies in none of the spans inside, in order."""
    if inside.edges is None:
        return [(since, until)] if since < until else []
    first, last = inside.edges
    gaps = [(since, first)] if since < first else []
    gaps += inside.gaps
    return [*gaps, (last, until)] if last < until else gaps


# The levels that divide a gap, from the shortest on. Days and months have shorter spans in them for ever.
_DIVIDING = (MINUTE, TEN_MINUTES, HOUR, SIX_HOURS)


def _numbers(sent: bytes | None, kind: str) -> Numbers:
    return np.frombuffer(sent or b"", kind).astype(np.int64)
