"""The answer of GET /api/compare."""

from msgspec import Struct

from orchboard.reports.envelope import Envelope
from orchboard.reports.leaderboard import Estimate, Standing
from orchboard.stats import JobType


class RegionStanding(Struct, frozen=True):
    """The numbers of one orchestrator in one region.

    score, success_rate -- with 95 % intervals
    round_trip_score -- 0 to 1
    results -- the number of scored results
    """

    score: Estimate
    success_rate: Estimate
    round_trip_score: float
    results: int


class RegionComparison(Struct, frozen=True):
    """Orchestrators side by side in one region.

    region -- its code
    orchestrators -- in the order of the request; null without a scored result there
    """

    region: str
    orchestrators: list[RegionStanding | None]


class Difference(Struct, frozen=True):
    """Two orchestrators and the difference between their scores.

    orchestrator, other -- their addresses
    score -- score of the first minus score of the other, with its 95 % interval
    is_beyond_chance -- whether the interval excludes 0
    better -- the one with the higher score, if the difference is beyond chance; else null
    """

    orchestrator: str
    other: str
    score: Estimate
    is_beyond_chance: bool
    better: str | None


class Comparison(Envelope, frozen=True, kw_only=True):
    """Orchestrators side by side.

    results -- of the orchestrators that are compared, scored or not
    job_type -- of the results
    ranked -- the number of orchestrators that ranks are among
    orchestrators -- in the order of the request; with `results` and `unscored` 0 for one that was not tested
    regions -- those in which one of them has a scored result, sorted
    differences -- of each pair in which both have a score
    """

    job_type: JobType
    ranked: int
    orchestrators: list[Standing]
    regions: list[RegionComparison]
    differences: list[Difference]
