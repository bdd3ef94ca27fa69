"""CachedQuery: what the answer cache has to know of a query."""

import math
from collections.abc import Awaitable, Callable, Hashable

from msgspec import Struct

from orchboard.answers.answer import AnyBody, Headers
from orchboard.stats import JobType
from orchboard.store.change_tracking.version_counters import job_type_key

ALL_RESULTS = tuple(job_type_key(job_type) for job_type in JobType)
"""Invalidated by every result."""


def _nothing() -> None:
    return None


def _same(body: bytes, _: float) -> bytes:
    return body


class CachedQuery(Struct, frozen=True):
    """A query whose answer may be cached.

    key -- equal for equal queries, however they are written
    compute -- makes the body of a 200, perhaps with further headers, or a RepeatableBody or Pieces of a body that is too large for
    memory; raises a Refusal for any other status
    headers -- of the answer; see Answer
    version_keys -- the version counters of the results that the answer depends on. The default is always right; fewer
    counters let the answer stay valid longer
    max_age_s -- how long the answer is valid without changes
    repeated_s -- how long after its computation began the answer is given again, whatever changed since
    depends_on_database -- False for answers made of the program alone, which nothing invalidates
    fallback -- an earlier body and its age in seconds, for when the database is away and the cache has no answer; None
    without one
    mark_stale -- makes the body that is sent while the database is away from the last body and its age in seconds
    """

    key: tuple[Hashable, ...]
    compute: Callable[[], Awaitable[AnyBody]]
    headers: Headers
    version_keys: tuple[int, ...] = ALL_RESULTS
    max_age_s: float = math.inf
    repeated_s: float = 0.0
    depends_on_database: bool = True
    fallback: Callable[[], tuple[bytes, float] | None] = _nothing
    mark_stale: Callable[[bytes, float], bytes] = _same
