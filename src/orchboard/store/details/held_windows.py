"""What was computed of windows that end in the live tail, held until a result in them changes."""

from collections.abc import Hashable
from typing import Any

from msgspec import Struct

from orchboard import limits
from orchboard.stats import Window
from orchboard.store.details.result_details import ResultDetails
from orchboard.store.details.tail import DetailTail
from orchboard.store.postgres.clock import to_pg_time
from orchboard.store.rollups.entry_cache import EntryCache
from orchboard.store.rollups.live_tail import LiveTail
from orchboard.store.rollups.window_plan import Coverage


class Version(Struct, frozen=True):
    """Which results and rollups there are.

    coverage -- the same object as long as no rollup changes
    since, invalidations -- of the tail; changes -- of its content
    """

    coverage: Coverage
    since: int
    invalidations: int
    changes: int


class _Held(Struct, frozen=True):
    version: Version
    item: Any


class HeldWindows:
    """Items by key and window, at most STANDINGS_BYTES of those used last. The tail must be refreshed before each use."""

    def __init__(self, tail: LiveTail[ResultDetails], content: DetailTail) -> None:
        self._tail = tail
        self._changes = content.changes
        self._entries = EntryCache(limits.STANDINGS_BYTES, limits.DETAIL_CACHE_IDLE_S)

    def version(self) -> Version:
        """The present one, for `add`: taken before the item is computed."""
        tail = self._tail
        return Version(tail.coverage, tail.since, tail.invalidations, self._changes.version)

    def get(self, key: Hashable, window: Window) -> Any:
        """The item of a window; None if there is none, or if a result of the window or a rollup has changed."""
        held: _Held | None = self._entries.get((key, window))
        if held is None or not self._is_known(window):
            return None
        version, now = held.version, self.version()
        is_current = (
            version.coverage is now.coverage
            and (version.since, version.invalidations) == (now.since, now.invalidations)
            and self._changes.unchanged_before(version.changes) > to_pg_time(window.until)
        )
        return held.item if is_current else None

    def _is_known(self, window: Window) -> bool:
        """Whether every change of a window is noticed: of what is neither in rollups nor in the tail, it adds an invalidation."""
        edges, coverage = (to_pg_time(window.since), to_pg_time(window.until) + 1), self._tail.coverage
        plan = coverage.plan(*edges, tail_since=self._tail.since)
        return all(until <= coverage.invalidated_until for _, until in plan.unmaterialized)

    def add(self, key: Hashable, window: Window, version: Version, item: object, size: int) -> None:
        """Hold the item of a window. version -- before it was computed; size -- in bytes"""
        if size <= limits.STANDINGS_BYTES:  # a larger one would evict all others
            self._entries.add((key, window), _Held(version, item), size)
