"""The answer of GET /api/errors."""

from datetime import datetime

from msgspec import Struct

from orchboard.reports.envelope import Envelope


class ErrorCode(Struct, frozen=True):
    """One error code.

    code -- as posted; empty: the testers gave none
    results -- the number of results with it
    share -- of all results of the answer, 0 to 1
    count -- of occurrences, at least one a result
    first_at, last_at -- receipt times of such results
    example -- a message that a tester sent with it; empty without one
    """

    code: str
    results: int
    share: float
    count: int
    first_at: datetime
    last_at: datetime
    example: str


class Errors(Envelope, frozen=True, kw_only=True):
    """The errors of results.

    errors -- the most frequent first
    """

    errors: list[ErrorCode]
