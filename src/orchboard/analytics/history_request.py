"""The request of a history: the results, the lines, the buckets."""

from msgspec import Struct

from orchboard.analytics.scope import Scope
from orchboard.reports.history import BucketSize, LineKind

MAX_ORCHESTRATORS = 10
"""The most orchestrators of one answer."""

MAX_LINES = 50
"""The most lines of one answer. Further ones would not be told apart in a chart."""

MAX_POINTS = 1000
"""The most buckets of one answer."""

DEFAULT_POINTS = 100
"""A chart of a README is a few hundred pixels wide."""


class HistoryRequest(Struct, frozen=True):
    """A history as requested. Hashable: part of the key of a cached answer.

    orchestrators -- in the order of their lines; none: all, pooled
    by -- what each line is of
    bucket -- None: the smallest that gives at most `points`
    tz -- the time zone's name, which was checked
    """

    scope: Scope
    orchestrators: tuple[str, ...] = ()
    by: LineKind = "network"
    bucket: BucketSize | None = None
    points: int = DEFAULT_POINTS
    tz: str = "UTC"
