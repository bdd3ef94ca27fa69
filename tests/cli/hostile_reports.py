"""Reports with hostile names in every text, with fixed numbers and times."""

from datetime import UTC, datetime, timedelta
from typing import Any

from orchboard.reports.compare import Comparison, Difference, RegionComparison, RegionStanding
from orchboard.reports.coverage import (
    Coverage,
    ModelCoverage,
    RegionCoverage,
    TesterCoverage,
    TesterDifference,
)
from orchboard.reports.envelope import AnswerWindow
from orchboard.reports.errors import ErrorCode, ErrorGroup, Errors
from orchboard.reports.history import History, HistoryLine, HistoryPoint
from orchboard.reports.leaderboard import CodeCount, Estimate, Ranking, RegionScore, RoundTrips, Standing
from orchboard.reports.orchestrator import (
    ErrorCost,
    JobTypeRating,
    LastTested,
    ModelCost,
    Orchestrator,
    RegionCost,
    RegionRating,
    Term,
    TestingRegion,
    Why,
)
from orchboard.reports.uptime import CellState, Uptime, UptimeCell, UptimeWindow
from orchboard.stats import JobType

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADDRESS, OTHER = "0x22a48674a6fdf9335d89b6dbc05c38e2dc181475", "0x22a48674b" + "0" * 31

# Clears the screen, sets the title, rings, overwrites the line, breaks it, reverses the text, is wide, combines, is long.
CLEAR, TITLE, LINES = "\x1b[2J\x1b[31mred", "\x1b]0;owned\x07", "one\r\ntwo\tthree\x00"
REVERSED, WIDE, COMBINED, LONG = "abc\u202edef", "画像生成モデル", "e\u0301\u0301\u0301 ok", "x" * 300
HOSTILE = [CLEAR, TITLE, LINES, REVERSED, WIDE, COMBINED, LONG]

ENVELOPE: dict[str, Any] = {
    "generated_at": NOW,
    "last_result_at": NOW - timedelta(minutes=4),
    "window": AnswerWindow("24h", NOW - timedelta(days=1), NOW),
    "results": 12345,
}
_TIMES = NOW - timedelta(hours=23), NOW - timedelta(seconds=30)

ERRORS = Errors(
    **ENVELOPE,
    errors=[
        ErrorCode(name, 1000 - number, 0.1, 2000, *_TIMES, HOSTILE[-number - 1])
        for number, name in enumerate([*HOSTILE, ""])
        if number < len(HOSTILE)
    ],
    regions=[ErrorGroup(LONG, "", 100, 10, 1.0, 0.1, 10, *_TIMES, CLEAR, LINES)],
    pipelines=None,
    models=[
        ErrorGroup(name, WIDE, 100, 10, 1 / 7, 0.1, 10, *_TIMES, CLEAR, LINES) for name in (*HOSTILE, "")
    ],
    testers=[ErrorGroup("", "", 100, 100, 1.0, 1.0, 100, *_TIMES, "", "")],
)


def _point(number: int, score: float | None) -> HistoryPoint:
    quantiles = None if score is None else 1.5
    return HistoryPoint(
        since=NOW - timedelta(hours=24 - number),
        until=NOW - timedelta(hours=23 - number),
        is_partial=number == 0,
        results=0 if score is None else 10,
        unscored=1,
        score=score,
        success_rate=score,
        p50=quantiles,
        p75=quantiles,
        p90=quantiles,
        p99=quantiles,
    )


_POINTS = [
    _point(number, None if number in (2, 3) else 0.5 + number / 50 if number < 20 else 0.0)
    for number in range(24)
]


def history(*names: str, by: Any = "model") -> History:
    """A line for each name."""
    return History(
        **ENVELOPE,
        bucket="1h",
        tz="UTC",
        by=by,
        lines=[HistoryLine(name=name, results=240, unscored=24, points=_POINTS) for name in names],
        lines_left_out=3,
    )


def _standing(rank: int, orchestrator: str, code: str) -> Standing:
    return Standing(
        orchestrator=orchestrator,
        rank=rank,
        rank_low=1,
        rank_high=rank + 2,
        score=Estimate(0.9 - rank / 10, 0.85 - rank / 10, 0.91 - rank / 10),
        success_rate=Estimate(1.0, 0.9, 1.0),
        round_trip=RoundTrips(0.5, 12.25, 123.4),
        results=12345,
        regions=3,
        best=RegionScore("FRA", 0.9),
        worst=RegionScore(LINES, 0.1),
        last_tested_at=NOW - timedelta(minutes=rank),
        errors=[CodeCount(code, 3, 5)],
        trend=-0.02,
        sparkline=[0.1 * number if number != 3 else None for number in range(10)],
    )


RANKING = Ranking(
    **ENVELOPE,
    job_type=JobType.AI,
    ranked=9,
    matches=10,
    buckets=[],
    orchestrators=[
        _standing(1, ADDRESS, CLEAR),
        _standing(2, OTHER, WIDE),
        _standing(3, LINES, LONG),
        _standing(4, WIDE * 3, ""),
        Standing(orchestrator=LONG[:56], unscored=3),
    ],
    next_cursor="abc",
)

_RATING: dict[str, Any] = {
    "score": Estimate(0.712, 0.7, 0.724), "success_rate": Estimate(0.8, 0.79, 0.81),
    "round_trip_score": 0.55, "results": 1234, "unscored": 5, "successes": 1000, "last_at": NOW,
}  # fmt: skip


def _term(region: str, model: str, score: float) -> Term:
    return Term(
        region=region,
        pipeline=WIDE,
        model=model,
        results=617,
        weight=0.5,
        success_rate=0.8,
        round_trip_time=12.0,
        reference=4.0,
        round_trip_score=0.512,
        score=score,
        lost_to_failures=0.13,
        lost_to_round_trips=0.1708,
    )


ORCHESTRATOR = Orchestrator(
    **ENVELOPE,
    address=ADDRESS,
    status="tested",
    last_tested_at=NOW - timedelta(minutes=4),
    scores=[
        JobTypeRating(
            **_RATING,
            job_type=JobType.AI,
            regions=[RegionRating(**_RATING, region="FRA"), RegionRating(**_RATING, region="LAX")],
            models=[],
            why=Why(
                formula="0.65 * success_rate + 0.35 * round_trip_score, and 0 if success_rate is 0",
                success_weight=0.65,
                round_trip_weight=0.35,
                lost_to_failures=0.13,
                lost_to_round_trips=0.158,
                terms=[_term("FRA", CLEAR, 0.6992), _term("LAX", WIDE, 0.7248)],
                regions=[
                    RegionCost(region="FRA", score=0.699, if_fixed=0.725, cost=0.013),
                    RegionCost(region="LAX", score=0.725, if_fixed=0.712, cost=0.0),
                ],
                models=[ModelCost(pipeline=WIDE, model=LINES, if_fixed=0.9, cost=0.188)],
                errors=[
                    ErrorCost(code=TITLE, results=1.2, if_fixed=0.73, cost=0.018),
                    ErrorCost(code="", results=20, if_fixed=0.7121, cost=0.0001),
                ],
            ),
        )
    ],
    uptime=[UptimeWindow(window="24h", uptime=0.9996, results=1234, unscored=5)],
    errors=[],
    tested_by_region=[
        LastTested(name="FRA", job_type=JobType.AI, last_at=NOW - timedelta(minutes=4), results=9),
        LastTested(name=LINES, job_type=JobType.AI, last_at=NOW - timedelta(days=4), results=9),
    ],
    tested_by_tester=[
        LastTested(name=CLEAR, job_type=JobType.AI, last_at=NOW - timedelta(minutes=4), results=9)
    ],
    recent=[],
    testing=None,
)
NEVER = Orchestrator(
    **{**ENVELOPE, "results": 0, "last_result_at": None},
    address=ADDRESS,
    status="never",
    last_tested_at=None,
    scores=[],
    uptime=[],
    errors=[],
    tested_by_region=[],
    tested_by_tester=[],
    recent=[],
    testing=[
        TestingRegion(region="FRA", job_type=JobType.AI, results=1234, orchestrators=71, last_at=NOW),
        TestingRegion(
            region=LINES,
            job_type=JobType.TRANSCODING,
            results=3,
            orchestrators=2,
            last_at=NOW - timedelta(hours=5),
        ),
    ],
)

_STATES: list[CellState] = ["good", "degraded", "failing", "unscored", "not_tested"]
UPTIME = Uptime(
    **{**ENVELOPE, "window": AnswerWindow(None, NOW - timedelta(days=40), NOW)},
    span="day",
    tz="UTC",
    good_from=0.9,
    failing_below=0.5,
    cells=[
        UptimeCell(
            since=NOW - timedelta(days=40 - number),
            until=NOW - timedelta(days=39 - number),
            state=_STATES[number % 5],
            uptime=[1.0, 0.7, 0.0, None, None][number % 5],
            results=10,
            unscored=1,
        )
        for number in range(40)
    ],
    uptime=[
        UptimeWindow(window="1h", uptime=None, results=0, unscored=1),
        UptimeWindow(window="24h", uptime=0.99999, results=1234, unscored=1),
    ],
)

COMPARISON = Comparison(
    **ENVELOPE,
    job_type=JobType.TRANSCODING,
    ranked=9,
    orchestrators=[_standing(1, ADDRESS, ""), Standing(orchestrator=LINES), _standing(3, OTHER, "")],
    regions=[
        RegionComparison(
            LINES,
            [RegionStanding(Estimate(0.8, 0.7, 0.9), Estimate(0.8, 0.7, 0.9), 0.5, 9), None, None],
        )
    ],
    differences=[
        Difference(ADDRESS, OTHER, Estimate(-0.2, -0.3, -0.1), True, OTHER),
        Difference(ADDRESS, LINES, Estimate(0.01, -0.1, 0.12), False, None),
    ],
)

_ACTIVITY: dict[str, Any] = {"last_hour": 1, "last_day": 1234, "last_week": 12345, "last_at": _TIMES[0]}
_SILENT: dict[str, Any] = {**_ACTIVITY, "usual_gap_h": 1, "silent_since": _TIMES[0]}
_TALKING: dict[str, Any] = {**_ACTIVITY, "usual_gap_h": None, "silent_since": None}


def _difference(tester: str, measure: Any) -> TesterDifference:
    return TesterDifference(
        name=HOSTILE[0],
        tester=tester,
        region="FRA",
        orchestrator=ADDRESS,
        measure=measure,
        own=0.5,
        others=0.99,
        results=100,
        other_results=900,
        confidence=0.9996,
        compared_with="region",
    )


COVERAGE = Coverage(
    **ENVELOPE,
    regions=[
        RegionCoverage(**_SILENT, region=LINES, job_type=JobType.AI),
        RegionCoverage(**_TALKING, region="FRA", job_type=JobType.AI),
    ],
    testers=[
        TesterCoverage(
            **_SILENT,
            tester=name,
            region="",
            regions=["FRA", LINES],
            compared=10,
            differs_on=3,
            verdict="differs",
        )
        for name in HOSTILE
    ]
    + [
        TesterCoverage(
            **_TALKING, tester="", region=WIDE, regions=["FRA"], compared=0, differs_on=0, verdict="too_few"
        )
    ],
    pipelines=[],
    models=[ModelCoverage(**_ACTIVITY, pipeline=WIDE, model=name) for name in HOSTILE],
    differences=[_difference(CLEAR, "success_rate"), _difference("", "round_trip_time")],
)
