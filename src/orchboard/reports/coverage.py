"""The answer of GET /api/coverage."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from orchboard.reports.envelope import Envelope
from orchboard.stats import JobType

Verdict = Literal["too_few", "agrees", "differs_on_some", "differs"]
Measure = Literal["success_rate", "round_trip_time"]
ComparedWith = Literal["region", "network"]


class Activity(Struct, frozen=True, kw_only=True):
    """Results by time of receipt, scored or not.

    last_hour, last_day, last_week -- the number of results in the last hour, 24 hours and 7 days
    last_at -- receipt time of the last result
    """

    last_hour: int
    last_day: int
    last_week: int
    last_at: datetime


class Silence(Activity, frozen=True, kw_only=True):
    """Results by time of receipt, and whether they have stopped.

    usual_gap_h -- the longest usual gap between hours with results, in hours; null with fewer than 4 hours with results
    silent_since -- receipt time of the last result, if the time since then is more than twice the usual gap (24 hours if that is null);
        null otherwise
    """

    usual_gap_h: int | None
    silent_since: datetime | None


class RegionCoverage(Silence, frozen=True, kw_only=True):
    """The results from one region.

    region -- its code
    job_type -- of the results
    """

    region: str
    job_type: JobType


class TesterCoverage(Silence, frozen=True, kw_only=True):
    """The results of one tester. Results that no tester's own key signed count as one tester in each region.

    tester -- its name; empty: no tester's own key
    region -- of a tester without a name; empty otherwise
    regions -- the regions it has tested from
    compared -- the number of orchestrators on which its results can be compared with those of at least two other testers
    differs_on -- the number of orchestrators on which they differ beyond chance; see `differences`
    verdict -- `too_few`: no comparison is possible. `agrees`: it differs on no orchestrator. `differs`: it differs on at least two,
        and on at least a fifth of those compared. `differs_on_some`: on fewer
    """

    tester: str
    region: str
    regions: list[str]
    compared: int
    differs_on: int
    verdict: Verdict


class PipelineCoverage(Activity, frozen=True, kw_only=True):
    """The results of one AI pipeline.

    pipeline -- as posted
    """

    pipeline: str


class ModelCoverage(Activity, frozen=True, kw_only=True):
    """The results of one AI pipeline and model.

    pipeline, model -- as posted
    """

    pipeline: str
    model: str


class TesterDifference(Struct, frozen=True, kw_only=True):
    """A tester whose results with one orchestrator differ from those of the others beyond chance.

    tester, region -- the tester, as in `testers`
    orchestrator -- in lower case
    measure -- what differs: the share of jobs that succeeded fully, or the geometric mean of the round trips of these, in seconds
    own -- the tester's
    others -- that of the others, for the same pipelines and models
    results, other_results -- how many results these are over
    confidence -- 1 minus the p-value after Bonferroni's correction for the number of all comparisons; not the probability that the
        tester misreports
    compared_with -- `region` if all models were compared within the region; `network` if for a model the region has fewer than two other
        testers, so that it was compared with those of all regions
    name -- of the orchestrator, that the operator of this server gave it; empty without one
    """

    tester: str
    region: str
    orchestrator: str
    measure: Measure
    own: float
    others: float
    results: int
    other_results: int
    confidence: float
    compared_with: ComparedWith
    name: str


class Coverage(Envelope, frozen=True, kw_only=True):
    """Who tests what, who has stopped, and whose results differ, in the last 7 days.

    regions -- with results, sorted by code
    testers -- with results, sorted by name and region
    pipelines, models -- with results, sorted by name
    differences -- the surest first, at most 200
    """

    regions: list[RegionCoverage]
    testers: list[TesterCoverage]
    pipelines: list[PipelineCoverage]
    models: list[ModelCoverage]
    differences: list[TesterDifference]
