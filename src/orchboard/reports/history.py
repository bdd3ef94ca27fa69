"""The answer of GET /api/history."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from orchboard.reports.envelope import Envelope

BucketSize: TypeAlias = Literal["1h", "6h", "1d", "7d", "30d"]
BUCKET_HOURS: Mapping[BucketSize, int] = {"1h": 1, "6h": 6, "1d": 24, "7d": 7 * 24, "30d": 30 * 24}
LineKind: TypeAlias = Literal["network", "orchestrator", "region", "pipeline", "model", "tester"]


class HistoryPoint(Struct, frozen=True, kw_only=True):
    """One bucket of a line. Without a scored result, all its numbers but the counts are null.

    since -- its start, in the time zone of the answer
    until -- its end, which belongs to the next bucket
    is_partial -- whether the window or the present cuts it
    results -- the number of scored results
    unscored -- the number of the others
    score -- 0 to 1: the mean of the regions' scores, each of which is the mean over its pipelines and models, weighted by results.
        AI results are scored against the medians of the bucket. Null also for orchestrators without scores
    success_rate -- mean of all scored results
    p50, p75, p90, p99 -- quantiles of the round trips in seconds: of the results that succeeded fully. Null without one
    """

    since: datetime
    until: datetime
    is_partial: bool
    results: int
    unscored: int
    score: float | None
    success_rate: float | None
    p50: float | None
    p75: float | None
    p90: float | None
    p99: float | None


class HistoryLine(Struct, frozen=True, kw_only=True):
    """The history of one orchestrator, region, pipeline, model or tester, or of the network.

    name -- address of the orchestrator, or the value of what the lines are by; empty for the network, for transcoding in lines by
        pipeline or model, and for results that no tester's own key signed
    results -- the number of scored results of all points
    unscored -- the number of the others
    points -- a point for each bucket, the earliest first
    """

    name: str
    results: int
    unscored: int
    points: list[HistoryPoint]


class History(Envelope, frozen=True, kw_only=True):
    """Scores and round trips over time.

    bucket -- the size of the buckets; those of a time whose results are not kept may be longer
    tz -- IANA name of the time zone that buckets begin in
    by -- what each line is of
    lines -- in the order of the request, else those with the most results first
    lines_left_out -- the number of further lines, which have fewer results
    """

    bucket: BucketSize
    tz: str
    by: LineKind
    lines: list[HistoryLine]
    lines_left_out: int
