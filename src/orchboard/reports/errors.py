"""The answer of GET /api/errors."""

from datetime import datetime

from msgspec import Struct

from orchboard.reports.envelope import Envelope
from orchboard.reports.history import BucketSize


class ErrorCode(Struct, frozen=True):
    """One error code.

    code -- as posted; empty: the testers gave none
    results -- the number of results with it
    share -- of all results of the answer, 0 to 1
    count -- of occurrences, at least one a result
    first_at, last_at -- receipt times of such results
    example -- a message that a tester sent with it; empty without one
    by_bucket -- `results` in each bucket of the answer; null if it has none
    """

    code: str
    results: int
    share: float
    count: int
    first_at: datetime
    last_at: datetime
    example: str
    by_bucket: list[int] | None = None


class ErrorGroup(Struct, frozen=True):
    """The errors of one region, pipeline, model or tester.

    name -- of the region, pipeline, model or tester, as posted. An empty pipeline or model: transcoding. An empty tester: results
        that no tester's own key signed
    pipeline -- of a model; empty otherwise
    tested -- the number of its results, with and without errors
    results -- the number of its results with an error; one with several codes counts once for each
    share -- `results` relative to those of the whole answer, 0 to 1; the shares of all groups of a list add up to 1
    rate -- `results` relative to `tested`; above 1 only if many results have several codes
    count -- of occurrences, at least one a result
    first_at, last_at -- receipt times of results with an error
    code -- its most frequent code
    example -- a message that a tester sent with that code; empty without one
    """

    name: str
    pipeline: str
    tested: int
    results: int
    share: float
    rate: float
    count: int
    first_at: datetime
    last_at: datetime
    code: str
    example: str


class Errors(Envelope, frozen=True, kw_only=True):
    """The errors of results. Each list has the most frequent first, and is null if `by` asks for another.

    errors -- by code, the most frequent first, at most 200
    regions, pipelines, models, testers -- those that have errors
    bucket -- the length of the buckets of `by_bucket`; null without `points`
    buckets -- the start of each; null without `points`
    """

    errors: list[ErrorCode] | None
    regions: list[ErrorGroup] | None
    pipelines: list[ErrorGroup] | None
    models: list[ErrorGroup] | None
    testers: list[ErrorGroup] | None
    bucket: BucketSize | None = None
    buckets: list[datetime] | None = None
