"""The events of GET /api/stream."""

from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from orchboard.stats import JobType


class ResultEvent(Struct, frozen=True, kw_only=True, tag_field="event", tag="result"):
    """Event `result`: a result was stored.

    event -- `result`
    id -- of the result, as in the table of results
    received_at -- receipt time
    orchestrator -- in lower case
    region -- upper-case region code
    job_type -- of the region
    pipeline, model -- of AI results; empty for transcoding
    tester -- name of the tester whose own key signed it; empty: the shared secret
    scored -- whether it counts towards scores
    success_rate -- fraction of the job that succeeded; 0 to 1 unless the tester sent more
    round_trip_time -- seconds
    errors -- error codes as posted, at most 20 of at most 64 characters
    """

    id: int
    received_at: datetime
    orchestrator: str
    region: str
    job_type: JobType
    pipeline: str
    model: str
    tester: str
    scored: bool
    success_rate: float
    round_trip_time: float
    errors: tuple[str, ...]


class RankEvent(Struct, frozen=True, kw_only=True, tag_field="event", tag="rank"):
    """Event `rank`: the rank of an orchestrator has changed, by its mean score over all regions in the default window.

    event -- `rank`
    job_type -- of the ranking
    orchestrator -- in lower case
    old_rank -- 1 is the best, and equal scores have equal ranks; null: it had no score
    rank -- likewise, now; null: it has no results in the window any more
    old_score -- the score that `old_rank` belongs to; null without one
    score -- the score that `rank` belongs to; null without one
    """

    job_type: JobType
    orchestrator: str
    old_rank: int | None
    rank: int | None
    old_score: float | None
    score: float | None


StreamEvent: TypeAlias = ResultEvent | RankEvent
"""What a listener receives."""
