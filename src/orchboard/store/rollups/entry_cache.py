"""A cache in memory: bounded in bytes, the least recently used entry is evicted first."""

import math
import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from msgspec import Struct

# Size of an entry without its arrays.
_ENTRY_BYTES = 500


class _Entry(Struct):
    """size -- in bytes; used_at -- in time.monotonic seconds"""

    item: Any
    size: int
    used_at: float


class EntryCache:
    """Entries that were used last, at most `max_bytes`, each at most `idle_s` after its last use. No item is None."""

    def __init__(self, max_bytes: int, idle_s: float) -> None:
        self._max_bytes = max_bytes
        self._idle_s = idle_s
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()  # least recently used first
        self._bytes = 0

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def get(self, key: Hashable) -> Any:
        """An item, which counts as used; None if there is none."""
        if (entry := self._entries.get(key)) is None:
            return None
        self._entries.move_to_end(key)
        entry.used_at = time.monotonic()
        return entry.item

    def add(self, key: Hashable, item: Any, size: int) -> None:
        """Add an item of some bytes, and evict others."""
        if (before := self._entries.pop(key, None)) is not None:
            self._bytes -= before.size
        now = time.monotonic()
        self._entries[key] = _Entry(item, size + _ENTRY_BYTES, now)
        self._bytes += size + _ENTRY_BYTES
        while self._bytes > self._max_bytes or self._oldest_use() < now - self._idle_s:
            self._bytes -= self._entries.popitem(last=False)[1].size

    def _oldest_use(self) -> float:
        return next((entry.used_at for entry in self._entries.values()), math.inf)
