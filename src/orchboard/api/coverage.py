"""GET /api/coverage"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from orchboard import limits
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.endpoint import Endpoint
from orchboard.api.examples import EXAMPLE_ENVELOPE, EXAMPLE_TIME, SCOPE_REFUSALS
from orchboard.api.params import Params
from orchboard.api.refusals import Error
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.api.scope_params import FILTERS, parse_orchestrator, parse_series_query, require_known
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.reports.coverage import (
    Coverage,
    ModelCoverage,
    PipelineCoverage,
    RegionCoverage,
    TesterCoverage,
)
from orchboard.reports.envelope import AnswerWindow
from orchboard.stats import JobType


def coverage(params: Params, board: Leaderboard) -> CachedQuery:
    """Who tests what, who has stopped, and whose results differ."""
    require_known(params, [param.name for param in FILTERS])
    query = parse_series_query(params, parse_orchestrator(params))

    async def compute() -> bytes:
        from orchboard.analytics.coverage import coverage as find_coverage  # at first use: numpy takes 0.2 s

        return encode_json(await find_coverage(board, query))

    return CachedQuery(
        ("coverage", query),
        compute,
        JSON_HEADERS,
        max_age_s=limits.SLIDING_WINDOW_TTL_S,
        repeated_s=board.reports_cache_s,
    )


_ONE: Mapping[str, Any] = {"last_hour": 1, "last_day": 1, "last_week": 1, "last_at": EXAMPLE_TIME}
_SILENCE: Mapping[str, Any] = {"usual_gap_h": None, "silent_since": None}


def _tester(region: str) -> TesterCoverage:
    verdict: Mapping[str, Any] = {"compared": 0, "differs_on": 0, "verdict": "too_few"}
    return TesterCoverage(**_ONE, **_SILENCE, **verdict, tester="", region=region, regions=[region])


COVERAGE = Endpoint(
    name="coverage",
    method="GET",
    path="/api/coverage",
    query=coverage,
    summary="Who tests what, who is silent, whose results differ",
    help="Returns the regions, testers, pipelines and models with results in the last 7 days, how many results they have, and since "
    "when regions and testers are silent that usually have results; and the testers whose results with an orchestrator differ from those "
    "of the other testers beyond chance. Testers are compared every ten minutes; all other members include each result at once.",
    params=FILTERS,
    answer=Coverage(
        **{**EXAMPLE_ENVELOPE, "window": AnswerWindow("7d", EXAMPLE_TIME - timedelta(days=7), EXAMPLE_TIME)},
        regions=[
            RegionCoverage(**_ONE, **_SILENCE, region="FRA", job_type=JobType.AI),
            RegionCoverage(**_ONE, **_SILENCE, region="MDW", job_type=JobType.TRANSCODING),
        ],
        testers=[_tester("FRA"), _tester("MDW")],
        pipelines=[PipelineCoverage(**_ONE, pipeline="Text to image")],
        models=[ModelCoverage(**_ONE, pipeline="Text to image", model="ByteDance/SDXL-Lightning")],
        differences=[],
    ),
    answer_type=Coverage,
    refusals={
        **SCOPE_REFUSALS,
        BadInputError: Error(
            "unknown parameter 'window': allowed are job_type, orchestrator, region, pipeline, model, tester"
        ),
    },
)
