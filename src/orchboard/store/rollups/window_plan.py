"""Plans a window: which materialized buckets it contains, which it cuts, and what is answered from raw results."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

import asyncpg
import numpy as np
from msgspec import Struct

from orchboard.store.postgres.clock import from_pg_time, to_pg_time
from orchboard.store.rollups.buckets import HOUR, MINUTE, MONTH, SIX_HOURS, TEN_MINUTES, Granularity
from orchboard.store.rollups.group_index import Indices

# A bucket with more results is not read into memory for a window that cuts it.
MAX_EDGE_RESULTS = 100_000

# Granularities that are cut at a window's edge, from the shortest. Days and months always contain shorter buckets.
_EDGE_GRANULARITIES = (MINUTE, TEN_MINUTES, HOUR, SIX_HOURS)

# Choices of buckets that are cached; they differ when a bucket is inside one window and not inside the other.
_MAX_CACHED_CHOICES = 512


class BucketKey(NamedTuple):
    """One build of a materialized bucket; start -- in microseconds since 2000."""

    granularity: int
    start: int
    revision: int


class PartialBucket(NamedTuple):
    """The part [since, until) of a materialized bucket, in microseconds since 2000."""

    bucket: BucketKey
    since: int
    until: int


class WindowPlan(Struct, frozen=True):
    """A window in disjoint parts. Ranges are [since, until), in microseconds since 2000.

    buckets -- materialized buckets inside it, the longest that fit
    partial_buckets -- parts of materialized buckets, where it starts or ends inside one
    unmaterialized -- ranges with no rollup and not in memory; aggregated in SQL. Usually empty
    tail -- the range that the live tail answers; empty unless its start is before its end
    since, until -- the window; rounded down where results are not kept
    """

    buckets: list[BucketKey]
    partial_buckets: list[PartialBucket]
    unmaterialized: list[tuple[int, int]]
    tail: tuple[int, int]
    since: int
    until: int


class _EdgeZone(NamedTuple):
    """A range whose gaps are filled with parts of buckets of one granularity, by index in the coverage, ascending."""

    since: int
    until: int
    indices: list[int]
    starts: list[int]
    ends: list[int]


class _Choice(NamedTuple):
    """The buckets chosen inside a window.

    buckets -- the longest that fit, in order; gaps -- between them
    bounds -- the start of the first and the end of the last; None without any
    """

    buckets: list[BucketKey]
    gaps: list[tuple[int, int]]
    bounds: tuple[int, int] | None


class Coverage:
    """The rollup buckets of the database, at one time.

    tail_since -- where the live tail begins, in microseconds since 2000: nothing later is materialized
    kept_since -- the time before which results are not kept, in microseconds since 2000; None if all are
    """

    def __init__(self, row: asyncpg.Record, default_tail_since: int) -> None:
        """From a row of `coverage`. default_tail_since -- if no recent bucket is materialized"""
        self._starts = _integers(row["starts"], ">i8")
        self._ends = _integers(row["ends"], ">i8")
        self._materialized = np.frombuffer(row["materialized"] or b"", np.bool_)
        self._revisions = _integers(row["revisions"], ">i8")
        self._results = _integers(row["results"], ">i8")
        self._granularities = _integers(row["granularities"], ">i4")
        self.tail_since = self._materialized_until(default_tail_since)
        self._zones = list(self._edge_zones())
        self.kept_since = None if row["kept_since"] is None else to_pg_time(row["kept_since"])
        self._edges: list[int] = np.sort(np.concatenate([self._starts, self._ends])).tolist()
        is_final = self._materialized & (self._granularities >= SIX_HOURS.number)
        self._final_edges: list[int] = np.unique(
            np.concatenate([self._starts[is_final], self._ends[is_final]])
        ).tolist()
        self._choices: dict[tuple[int, int, int], _Choice] = {}

    @property
    def invalidated_until(self) -> int:
        """The time before which every further result adds an invalidation, also where there is no rollup; 0 without rollups."""
        return int(self._ends[self._materialized].max(initial=0))

    def _materialized_until(self, default: int) -> int:
        """The end of the last materialized ten minutes, and of the single minutes that follow without a gap."""
        tens = self._ends[self._materialized & (self._granularities == TEN_MINUTES.number)]
        reached = int(tens.max()) if len(tens) else default
        minutes = self._materialized & (self._granularities == MINUTE.number)
        ends = dict(zip(self._starts[minutes].tolist(), self._ends[minutes].tolist(), strict=True))
        while reached in ends:
            reached = ends[reached]
        return reached

    @cached_property
    def results_per_microsecond(self) -> float:
        """The average rate of results in the granularity that has the highest."""
        lengths = self._ends - self._starts
        masks = [
            self._materialized & (self._granularities == each) for each in set(self._granularities.tolist())
        ]
        return max((self._results[at].sum() / lengths[at].sum() for at in masks if at.any()), default=0.0)

    def results_of(self, bucket: BucketKey) -> int:
        """The number of results in a materialized bucket."""
        return self._results_by_key.get((bucket.granularity, bucket.start), 0)

    @cached_property
    def _results_by_key(self) -> dict[tuple[int, int], int]:
        keys = zip(self._granularities.tolist(), self._starts.tolist(), strict=True)
        return dict(zip(keys, self._results.tolist(), strict=True))

    def plan(self, since: int, until: int, *, tail_since: int, longest: Granularity = MONTH) -> WindowPlan:
        """Plan a window. A bound where results are not kept is rounded down to a bound of a bucket.

        tail_since -- the start of the results in memory: `self.tail_since` or later
        longest -- the longest buckets that may be used
        """
        since, until = self._rounded(since), self._rounded(until)
        materialized_until = max(since, min(until, self.tail_since))
        tail_from = max(materialized_until, min(until, tail_since))
        choice = self._choice(since, materialized_until, longest.number)
        partial: list[PartialBucket] = []
        unmaterialized = [(materialized_until, tail_from)] if materialized_until < tail_from else []
        for gap in _gaps(choice, since, materialized_until):
            self._fill(*gap, partial, unmaterialized)
        return WindowPlan(list(choice.buckets), partial, unmaterialized, (tail_from, until), since, until)

    def round_bound(self, bound: datetime) -> datetime:
        """The bound that `plan` uses for a bound of a window: an earlier one only where results are not kept."""
        asked = to_pg_time(bound)
        used = self._rounded(asked)
        return bound if used == asked else from_pg_time(used)

    def _rounded(self, bound: int) -> int:
        if self.kept_since is None or bound >= self.kept_since:
            return bound
        before = bisect_right(self._final_edges, bound)
        return self._final_edges[before - 1] if before else bound

    def _choice(self, since: int, until: int, longest: int) -> _Choice:
        """The buckets inside a window; cached, as many windows contain the same ones. longest -- the number of a granularity"""
        window = bisect_left(self._edges, since), bisect_right(self._edges, until), longest
        if (found := self._choices.get(window)) is None:
            if len(self._choices) >= _MAX_CACHED_CHOICES:
                self._choices.clear()
            found = self._choices[window] = self._choose(since, until, longest)
        return found

    def _choose(self, since: int, until: int, longest: int) -> _Choice:
        """Choose the longest buckets. They are ordered by start, then from the longest: a bucket that starts before the
        end of an earlier one is inside a longer one."""
        first, last = self._starts.searchsorted((since, until)).tolist()
        fits = self._materialized[first:last] & (self._ends[first:last] <= until)
        fits &= self._granularities[first:last] <= longest
        inside = first + np.flatnonzero(fits)
        reached = np.maximum.accumulate(np.concatenate([[since], self._ends[inside]]))
        chosen = inside[reached[:-1] <= self._starts[inside]]
        starts, ends = self._starts[chosen].tolist(), self._ends[chosen].tolist()
        gaps = [(end, start) for end, start in zip(ends[:-1], starts[1:], strict=True) if end < start]
        buckets = [self._key(index) for index in chosen.tolist()]
        return _Choice(buckets, gaps, (starts[0], ends[-1]) if buckets else None)

    def _fill(
        self, since: int, until: int, partial: list[PartialBucket], unmaterialized: list[tuple[int, int]]
    ) -> None:
        """Fill a gap with parts of materialized buckets; the rest is unmaterialized."""
        for zone in self._zones:  # from the latest
            start, end = max(since, zone.since), min(until, zone.until)
            if start < end:
                first, last = bisect_right(zone.ends, start), bisect_left(zone.starts, end)
                for number in reversed(range(first, last)):
                    begins, ends = max(start, zone.starts[number]), min(end, zone.ends[number])
                    if ends < until:
                        unmaterialized.append((ends, until))
                    partial.append(PartialBucket(self._key(zone.indices[number]), begins, ends))
                    until = begins
        if since < until:
            unmaterialized.append((since, until))

    def _edge_zones(self) -> Iterator[_EdgeZone]:
        """The zones, from the latest: short buckets exist only for recent times."""
        until = self.tail_since
        for granularity in _EDGE_GRANULARITIES:
            is_own = self._materialized & (self._granularities == granularity.number)
            indices = np.flatnonzero(is_own & (self._results <= MAX_EDGE_RESULTS) & (self._starts < until))
            if len(indices):
                since = int(self._starts[indices[0]])
                starts, ends = self._starts[indices].tolist(), self._ends[indices].tolist()
                yield _EdgeZone(since, until, indices.tolist(), starts, ends)
                until = since

    def _key(self, index: int) -> BucketKey:
        return BucketKey(
            int(self._granularities[index]), int(self._starts[index]), int(self._revisions[index])
        )


def _gaps(choice: _Choice, since: int, until: int) -> list[tuple[int, int]]:
    """The ranges of a window that no chosen bucket covers, in order."""
    if choice.bounds is None:
        return [(since, until)] if since < until else []
    first, last = choice.bounds
    gaps = [(since, first)] if since < first else []
    gaps += choice.gaps
    return [*gaps, (last, until)] if last < until else gaps


def _integers(sent: bytes | None, kind: str) -> Indices:
    return np.frombuffer(sent or b"", kind).astype(np.int64)
