"""An entry of the answer cache, and the computation of its next answer."""

import asyncio
import math
import time

from orchboard.answers.answer import AnyAnswer
from orchboard.answers.cached_query import CachedQuery
from orchboard.store.change_tracking.version_counters import EVERYTHING, VersionCounters


class Entry:
    """The cache entry of a query. Once it is evicted, it has no answer any more.

    query -- whose computation is repeated
    snapshot -- the version counters from which the answer was computed; current_snapshot -- reads them
    external_version -- the ExternalWriteDetector's version when the computation began
    valid_until -- when the answer expires without changes, on time.monotonic's clock
    fresh_until -- until when writes of other hosts are not looked for
    repeated_until -- until when no change invalidates the answer
    is_recently_used -- whether it was requested since the last eviction scan
    """

    __slots__ = (
        "answer", "computation", "computed_at", "current_snapshot", "external_version", "fresh_until", "is_recently_used",
        "key", "key_bytes", "query", "repeated_until", "size", "snapshot", "valid_until",
    )  # fmt: skip

    def __init__(self, query: CachedQuery, changes: VersionCounters) -> None:
        self.key = query.key
        self.query = query
        self.key_bytes = len(repr(query.key).encode("utf-8", "surrogatepass"))
        counters = query.version_keys if query.depends_on_database else ()
        self.current_snapshot = changes.version_reader(EVERYTHING, *counters)
        self.answer: AnyAnswer | None = None
        self.computation: Computation | None = None
        self.snapshot: object = None
        self.external_version = 0
        self.computed_at = self.fresh_until = self.repeated_until = self.valid_until = -math.inf
        self.size = 0
        self.is_recently_used = False  # most queries are not repeated


class Computation:
    """A running computation, and the versions when it began.

    known_at -- everything that was committed until then is in the answer, on time.monotonic's clock
    """

    def __init__(self, query: CachedQuery, snapshot: object, external_version: int, known_at: float) -> None:
        self.began_at = time.monotonic()
        self.known_at = min(known_at, self.began_at)
        self.snapshot = snapshot
        self.external_version = external_version
        self.query = query
        self.task: asyncio.Task[AnyAnswer]
