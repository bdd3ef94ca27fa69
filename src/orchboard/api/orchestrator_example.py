"""The example answer of GET /api/orchestrators/{address}, once the example results are stored."""

from typing import Any

from orchboard.api.examples import EXAMPLE_ENVELOPE, EXAMPLE_TIME, ORCHESTRATOR
from orchboard.reports.errors import ErrorCode
from orchboard.reports.leaderboard import Estimate
from orchboard.reports.orchestrator import (
    ErrorCost,
    JobTypeRating,
    LastTested,
    ModelCost,
    ModelRating,
    Orchestrator,
    RecentResult,
    RegionCost,
    RegionRating,
    Term,
    Why,
)
from orchboard.reports.uptime import UptimeWindow
from orchboard.stats import ErrorCount, JobType

_PIPELINE, _MODEL = "Text to image", "ByteDance/SDXL-Lightning"

_AI: dict[str, Any] = {
    "score": Estimate(0.93, 0.0, 1.0),
    "success_rate": Estimate(1.0, 0.206549314, 1.0),
    "round_trip_score": 0.8,
    "results": 1,
    "unscored": 0,
    "successes": 1,
    "last_at": EXAMPLE_TIME,
}
_TRANSCODING = _AI | {
    "score": Estimate(0.368201431, 0.0, 1.0),
    "success_rate": Estimate(0.5, 0.054620756, 0.945379244),
    "round_trip_score": 0.736402862,
    "successes": 0,
}


def _why_ai() -> Why:
    return Why(
        formula="0.65 * success_rate + 0.35 * round_trip_score, and 0 if success_rate is 0",
        success_weight=0.65,
        round_trip_weight=0.35,
        lost_to_failures=0.0,
        lost_to_round_trips=0.07,
        terms=[
            Term(
                region="FRA",
                pipeline=_PIPELINE,
                model=_MODEL,
                results=1,
                weight=1.0,
                success_rate=1.0,
                round_trip_time=2.2,
                reference=2.2,
                round_trip_score=0.8,
                score=0.93,
                lost_to_failures=0.0,
                lost_to_round_trips=0.07,
            )
        ],
        regions=[RegionCost(region="FRA", score=0.93, if_fixed=0.93, cost=0.0)],
        models=[ModelCost(pipeline=_PIPELINE, model=_MODEL, if_fixed=0.93, cost=0.0)],
        errors=[],
    )


def _why_transcoding() -> Why:
    return Why(
        formula="success_rate * round_trip_score",
        success_weight=None,
        round_trip_weight=None,
        lost_to_failures=0.434100715,
        lost_to_round_trips=0.197697854,
        terms=[
            Term(
                region="MDW",
                pipeline="",
                model="",
                results=1,
                weight=1.0,
                success_rate=0.5,
                round_trip_time=1.5,
                reference=2.0,
                round_trip_score=0.736402862,
                score=0.368201431,
                lost_to_failures=0.434100715,
                lost_to_round_trips=0.197697854,
            )
        ],
        regions=[RegionCost(region="MDW", score=0.368201431, if_fixed=0.368201431, cost=0.0)],
        models=[],
        errors=[ErrorCost(code="DOWNLOAD", results=1.0, if_fixed=0.736402862, cost=0.368201431)],
    )


def _last_tested(name: str, job_type: JobType) -> LastTested:
    return LastTested(name=name, job_type=job_type, last_at=EXAMPLE_TIME, results=1)


_RECENT = RecentResult(
    received_at=EXAMPLE_TIME,
    region="MDW",
    job_type=JobType.TRANSCODING,
    pipeline="",
    model="",
    tester="",
    is_scored=True,
    success_rate=0.5,
    round_trip_time=1.5,
    outcome="",
    unscored_reason="",
    errors=(ErrorCount("DOWNLOAD", "segment 7 timed out", 1),),
    payload=None,
)

EXAMPLE = Orchestrator(
    **EXAMPLE_ENVELOPE,
    address=ORCHESTRATOR,
    status="tested",
    last_tested_at=EXAMPLE_TIME,
    scores=[
        JobTypeRating(
            **_AI,
            job_type=JobType.AI,
            regions=[RegionRating(**_AI, region="FRA")],
            models=[ModelRating(**_AI, pipeline=_PIPELINE, model=_MODEL, median_rtt=2.2, cold=0, warm=1)],
            why=_why_ai(),
        ),
        JobTypeRating(
            **_TRANSCODING,
            job_type=JobType.TRANSCODING,
            regions=[RegionRating(**_TRANSCODING, region="MDW")],
            models=[],
            why=_why_transcoding(),
        ),
    ],
    uptime=[
        UptimeWindow(window="24h", uptime=0.5, results=2, unscored=0),
        UptimeWindow(window="7d", uptime=0.5, results=2, unscored=0),
        UptimeWindow(window="30d", uptime=0.5, results=2, unscored=0),
    ],
    errors=[ErrorCode("DOWNLOAD", 1, 0.5, 1, EXAMPLE_TIME, EXAMPLE_TIME, "segment 7 timed out")],
    tested_by_region=[_last_tested("MDW", JobType.TRANSCODING), _last_tested("FRA", JobType.AI)],
    tested_by_tester=[_last_tested("", JobType.TRANSCODING), _last_tested("", JobType.AI)],
    recent=[_RECENT],
    testing=None,
)
