"""The answer of GET /api/leaderboard."""

from datetime import datetime

from msgspec import Struct

from orchboard.reports.envelope import Envelope
from orchboard.stats import JobType


class Estimate(Struct, frozen=True):
    """A number and its 95 % interval.

    value -- the number
    low -- the start of the interval, at most the number
    high -- its end, at least the number
    """

    value: float
    low: float
    high: float


class RegionScore(Struct, frozen=True):
    """A score in one region.

    region -- its code
    score -- 0 to 1
    """

    region: str
    score: float


class RoundTrips(Struct, frozen=True):
    """Exact percentiles of the round trips of results with full success, in seconds.

    p50, p90, p99 -- half, 90 % and 99 % of the round trips are at most this long; interpolated as by PostgreSQL's percentile_cont
    """

    p50: float
    p90: float
    p99: float


class CodeCount(Struct, frozen=True):
    """One error code.

    code -- as posted; empty: the testers gave none
    results -- the number of results with it, scored or not
    count -- of occurrences, at least one a result
    """

    code: str
    results: int
    count: int


class Standing(Struct, frozen=True, kw_only=True):
    """The numbers of one orchestrator. Scores are null without a scored result.

    orchestrator -- Ethereum address in lower case
    name -- that the operator of this server gave it; empty without one
    rank -- by score, from 1; `orchestrator` and `search` do not change it; equal scores share a rank
    rank_low, rank_high -- the best and the worst rank that are possible given the intervals of all scores
    score -- mean over the regions with equal weights, as the explorer computes GLOBAL; see docs/confidence.md for the interval
    round_trip_score -- averaged as the score is
    success_rate -- mean share of a job that succeeded, averaged as the score is
    full_success -- share of the scored results that succeeded fully, with Wilson's interval
    round_trip -- in seconds; null without a result with full success
    real_time_ratio -- transcoding: mean duration of segments divided by mean round trip; above 1 is faster than real time
    results -- number of scored results
    unscored -- number of results that their tester declares to be no verdict
    regions -- number of regions with scored results
    best, worst -- regions with the highest and the lowest score
    last_tested_at -- receipt time of the last result, scored or not
    errors -- the most frequent error codes first, at most 20
    trend -- score minus the score in the window before, which is as long; null without one of them
    sparkline -- the score in each bucket of `buckets`; null in a bucket without scored results
    """

    orchestrator: str
    name: str = ""
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None
    score: Estimate | None = None
    round_trip_score: float | None = None
    success_rate: Estimate | None = None
    full_success: Estimate | None = None
    round_trip: RoundTrips | None = None
    real_time_ratio: float | None = None
    results: int = 0
    unscored: int = 0
    regions: int = 0
    best: RegionScore | None = None
    worst: RegionScore | None = None
    last_tested_at: datetime | None = None
    errors: list[CodeCount] = []
    trend: float | None = None
    sparkline: list[float | None] = []


class Ranking(Envelope, frozen=True, kw_only=True):
    """Orchestrators by rank or another number.

    job_type -- of the results
    ranked -- the number of orchestrators with a rank
    matches -- the number of orchestrators that `search` and `orchestrator` leave, on all pages
    buckets -- start of each bucket of the sparklines
    orchestrators -- one page of them
    next_cursor -- the parameter `cursor` of the next page; null on the last one
    """

    job_type: JobType
    ranked: int
    matches: int
    buckets: list[datetime]
    orchestrators: list[Standing]
    next_cursor: str | None
