"""The lines of GET /api/export."""

from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType


class ExportedResult(Struct, frozen=True, kw_only=True):
    """A stored result. `<event_time>_<id>` is the cursor that continues after it.

    event_time -- receipt time, with microseconds
    id -- distinguishes results with one receipt time
    orchestrator -- in lower case
    region -- upper-case code
    job_type -- of the region
    pipeline, model -- of AI results; empty for transcoding
    tester -- name of the tester whose own key signed the result; empty: the shared secret, or unknown
    scored -- whether it counts in scores
    success_rate, round_trip_time, seg_duration -- as posted; times in seconds
    payload -- the stored JSON, with `payload=true`; in CSV and Parquet as text
    """

    event_time: datetime
    id: int
    orchestrator: str
    region: str
    job_type: str
    pipeline: str
    model: str
    tester: str
    scored: bool
    success_rate: float
    round_trip_time: float
    seg_duration: float
    payload: Any | UnsetType = UNSET

    @property
    def cursor(self) -> str:
        """What an export continues after this row with."""
        return f"{_time(self.event_time)}_{self.id}"


class ExportedRollup(Struct, frozen=True, kw_only=True):
    """What the results of one series add up to in an hour or a day (UTC). `<bucket>_<series>` is the cursor that continues after it.

    bucket -- start of the hour or day; of the first and last one, only the part in the window counts
    series -- 16 hex digits that stand for the six members below, here and in any other export
    orchestrator -- in lower case
    region -- upper-case code
    job_type -- of the region
    pipeline, model -- of AI results; empty for transcoding
    tester -- name of the tester whose own key signed the results; empty: the shared secret, or unknown
    first_at, last_at -- receipt times of the first and last result, scored or not
    results -- the number of scored results
    unscored -- the number of the others
    successes -- scored results whose success rate is at least 1
    cold -- scored AI results whose model was not warm
    sum_success_rate, sum_seg_duration, sum_round_trip_time -- sums over scored results
    moment_success_rate, moment_seg_duration, moment_round_trip_time -- sums of squared deviations from the mean; divided by
    `results`, they are variances
    moment_success_rate_seg_duration, moment_success_rate_round_trip_time, moment_seg_duration_round_trip_time -- sums of products of
    two deviations; divided by `results`, they are covariances
    round_trips -- scored results with success rate 1 and a round trip other than 0, which the percentiles are of
    p50, p90, p99 -- exact percentiles in seconds, interpolated; null without round trips
    """

    bucket: datetime
    series: str
    orchestrator: str
    region: str
    job_type: str
    pipeline: str
    model: str
    tester: str
    first_at: datetime
    last_at: datetime
    results: int
    unscored: int
    successes: int
    cold: int
    sum_success_rate: float
    sum_seg_duration: float
    sum_round_trip_time: float
    moment_success_rate: float
    moment_success_rate_seg_duration: float
    moment_success_rate_round_trip_time: float
    moment_seg_duration: float
    moment_seg_duration_round_trip_time: float
    moment_round_trip_time: float
    round_trips: int
    p50: float | None
    p90: float | None
    p99: float | None

    @property
    def cursor(self) -> str:
        """What an export continues after this row with."""
        return f"{_time(self.bucket)}_{self.series}"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
