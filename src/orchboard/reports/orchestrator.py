"""The answer of GET /api/orchestrators/{address}."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from orchboard.reports.envelope import Envelope
from orchboard.reports.errors import ErrorCode
from orchboard.reports.leaderboard import Estimate
from orchboard.reports.uptime import UptimeWindow
from orchboard.stats import ErrorCount, JobType

StoredJson = Annotated[Any, Meta(extra_json_schema={"anyOf": [{"type": "object"}, {"type": "null"}]})]
"""An object, or null. The server gives its JSON as a Raw, which a union with null would not decode."""


class Rating(Struct, frozen=True, kw_only=True):
    """Scores from some results. Everything but the numbers of results is null without a scored one.

    score -- 0 to 1, with its 95 % interval; over several regions the mean of the regions' scores, each of which is the mean over
        its pipelines and models, weighted by results
    success_rate -- averaged as the score is, with its 95 % interval
    round_trip_score -- averaged as the score is
    results -- the number of scored results
    unscored -- the number of the others
    successes -- the number of scored results that succeeded fully
    last_at -- receipt time of the last result, scored or not
    """

    score: Estimate | None
    success_rate: Estimate | None
    round_trip_score: float | None
    results: int
    unscored: int
    successes: int
    last_at: datetime


class RegionRating(Rating, frozen=True, kw_only=True):
    """The score in one region.

    region -- its code
    """

    region: str


class ModelRating(Rating, frozen=True, kw_only=True):
    """The score with one AI pipeline and model.

    pipeline, model -- as posted
    median_rtt -- seconds: the median round trip that scores are relative to; null if no orchestrator succeeded
    cold -- the number of scored results whose model was not loaded
    warm -- the number of scored results whose model was loaded
    """

    pipeline: str
    model: str
    median_rtt: float | None
    cold: int
    warm: int


class Term(Struct, frozen=True, kw_only=True):
    """One term of the score: the scored results in one region of one pipeline and model.

    region, pipeline, model -- empty names for transcoding
    results -- their number
    weight -- its part of the score; the weights of all terms add up to 1, and the sum of weight times score is the score
    success_rate -- their mean
    round_trip_time -- their mean, in seconds
    reference -- what the round trip is compared with, in seconds: the median round trip of the pipeline and model over all
        orchestrators; for transcoding the mean duration of segments; null without one
    round_trip_score, score -- by the formula
    lost_to_failures, lost_to_round_trips -- what is missing to 1: score + lost_to_failures + lost_to_round_trips = 1
    """

    region: str
    pipeline: str
    model: str
    results: int
    weight: float
    success_rate: float
    round_trip_time: float
    reference: float | None
    round_trip_score: float
    score: float
    lost_to_failures: float
    lost_to_round_trips: float


class RegionCost(Struct, frozen=True, kw_only=True):
    """What a region costs the score.

    region -- its code
    score -- of this region alone
    if_fixed -- the score if this region were at the orchestrator's best region
    cost -- if_fixed minus the score
    """

    region: str
    score: float
    if_fixed: float
    cost: float


class ModelCost(Struct, frozen=True, kw_only=True):
    """What an AI pipeline and model costs the score.

    pipeline, model -- as posted
    if_fixed -- the score if every job of this model were a success at the median round trip, where it is worse than that
    cost -- if_fixed minus the score
    """

    pipeline: str
    model: str
    if_fixed: float
    cost: float


class ErrorCost(Struct, frozen=True, kw_only=True):
    """What an error code costs the score.

    code -- as posted
    results -- the scored results with it that did not succeed; estimated, thus not always whole, when unscored or successful
        results have the code too, or results have several codes
    if_fixed -- the score if these were successes. Their round trips are the mean of the orchestrator's successes with that pipeline
        and model in that region; without any, with that pipeline and model in all regions; without any, of all its successes of
        the job type; without any, they do not change
    cost -- if_fixed minus the score
    """

    code: str
    results: float
    if_fixed: float
    cost: float


class Why(Struct, frozen=True, kw_only=True):
    """Why a score is what it is. All lists have the largest cost, or the largest loss to the score, first.

    formula -- of the score of a term
    success_weight, round_trip_weight -- of the formula for AI; null for transcoding, where it is a product
    lost_to_failures, lost_to_round_trips -- what is missing to 1: score + lost_to_failures + lost_to_round_trips = 1
    terms -- what the score is made of
    regions, models, errors -- their costs, each as if only this one were fixed
    """

    formula: str
    success_weight: float | None
    round_trip_weight: float | None
    lost_to_failures: float
    lost_to_round_trips: float
    terms: list[Term]
    regions: list[RegionCost]
    models: list[ModelCost]
    errors: list[ErrorCost]


class JobTypeRating(Rating, frozen=True, kw_only=True):
    """The score of one job type: the mean over its regions.

    job_type -- `ai` or `transcoding`
    regions -- sorted by code
    models -- sorted by pipeline and model; empty for transcoding
    why -- null without a scored result
    """

    job_type: JobType
    regions: list[RegionRating]
    models: list[ModelRating]
    why: Why | None


class LastTested(Struct, frozen=True, kw_only=True):
    """The last test by a region or tester.

    name -- code of the region, or name of the tester; empty: no tester's own key signed
    job_type -- of these results
    last_at -- receipt time of the last result
    results -- the number of results in the last 30 days, scored or not
    """

    name: str
    job_type: JobType
    last_at: datetime
    results: int


class RecentResult(Struct, frozen=True, kw_only=True):
    """One result.

    received_at -- receipt time
    region, job_type, pipeline, model -- what was tested; empty names for transcoding
    tester -- name of the tester whose own key signed it; empty without one
    is_scored -- whether it counts for scores
    success_rate -- 0 to 1
    round_trip_time -- seconds
    outcome, unscored_reason -- as the tester says; at most 120 characters, empty if it says nothing
    errors -- its first 20 errors; codes and messages of at most 120 characters
    payload -- the whole result as `raw_stats` returns it; null unless `payload=true`, and if the answer would be larger than a
        megabyte
    """

    received_at: datetime
    region: str
    job_type: JobType
    pipeline: str
    model: str
    tester: str
    is_scored: bool
    success_rate: float
    round_trip_time: float
    outcome: str
    unscored_reason: str
    errors: tuple[ErrorCount, ...]
    payload: StoredJson


class TestingRegion(Struct, frozen=True, kw_only=True):
    """A region from which any orchestrator was tested in the last 24 hours.

    region -- its code
    job_type -- of the results
    results -- their number
    orchestrators -- the number of orchestrators tested
    last_at -- receipt time of the last one
    """

    region: str
    job_type: JobType
    results: int
    orchestrators: int
    last_at: datetime


class Orchestrator(Envelope, frozen=True, kw_only=True):
    """Everything about one orchestrator.

    address -- in lower case
    name -- that the operator of this server gave it; empty without one
    status -- `tested`: it has results in the window. `not_in_window`: it has results before the window only. `never`: it
        has no result before the window's end. Only results that the filters select count
    last_tested_at -- receipt time of its last result before the window's end; null if it was never tested
    scores -- of each job type with results in the window
    uptime -- of the last 24 hours, 7 and 30 days
    errors -- of the window, the most frequent first
    tested_by_region, tested_by_tester -- who tested it in the last 30 days, the last first
    recent -- its last results before the window's end, the newest first
    testing -- the regions that are testing any orchestrator; null if this one has results in the window
    """

    address: str
    name: str = ""
    status: Literal["tested", "not_in_window", "never"]
    last_tested_at: datetime | None
    scores: list[JobTypeRating]
    uptime: list[UptimeWindow]
    errors: list[ErrorCode]
    tested_by_region: list[LastTested]
    tested_by_tester: list[LastTested]
    recent: list[RecentResult]
    testing: list[TestingRegion] | None
