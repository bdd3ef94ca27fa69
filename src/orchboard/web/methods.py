"""GET /methods: how every number on every page is made, with two calculators."""

from functools import cache
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchboard.answers.cached_query import CachedQuery
from orchboard.answers.replies import Replies
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType
from orchboard.web.calculator import Calculator, calculator
from orchboard.web.curve import curve, speeds
from orchboard.web.rendering import HTML_HEADERS, LEAST_RANGE, NOT_CACHED, render_page, render_text

_SAMPLED_RATIOS = (0.5, 1.0, 2.0, 5.0)


async def methods_page(request: Request, _: Leaderboard, replies: Replies) -> Response:
    """The page. It needs no database.

    A query string with an empty parameter comes from a form. It is redirected to the URL without default values. A field that
    can't be read is named beside it, with status 400.
    """
    calculators = _calculators(request.query_params)
    if any(each.problems for each in calculators):
        return render_page("methods.html", 400, NOT_CACHED, **_context(calculators))
    url = next((each.url for each in calculators if not each.is_example), "/methods")
    if "" in request.query_params.values():
        return RedirectResponse(url, 303, NOT_CACHED)

    async def compute() -> bytes:
        return render_text("methods.html", **_context(calculators))

    query = CachedQuery(("methods page", url), compute, HTML_HEADERS, depends_on_database=False)
    return await replies.reply(request, query)


def _calculators(params: QueryParams) -> list[Calculator]:
    """Those of all job types. The parameters are of one, and the others have their example. Raises BadInputError."""
    name = params.get("job_type") or JobType.TRANSCODING
    if name not in set(JobType):
        raise BadInputError(f"job_type must be one of {', '.join(JobType)}, not {name[:40]!r}")
    nothing = QueryParams()
    return [
        calculator(each, params if each == name else nothing) for each in (JobType.TRANSCODING, JobType.AI)
    ]


def _context(calculators: list[Calculator]) -> dict[str, Any]:
    return {
        "calculators": {each.job_type.value: each for each in calculators},
        "curves": {each.job_type.value: _curve(each) for each in calculators},
        "samples": {
            each.value: list(zip(_SAMPLED_RATIOS, speeds(each, _SAMPLED_RATIOS), strict=True))
            for each in JobType
        },
        "has_problems": any(each.problems for each in calculators),
        "rule": _rules(),
    }


def _curve(of: Calculator) -> Any:
    answer = of.answer
    return curve(of.job_type, answer.ratio if answer else None, answer.speed if answer else None)


@cache
def _rules() -> dict[str, dict[str, Any]]:
    """The constants that the page names, in words, by the module that they are from."""
    return {
        "scoring": _scoring_rules(),
        "uptime": _uptime_rules(),
        "silence": _silence_rules(),
        "verdicts": _verdict_rules(),
        "events": _event_rules(),
        "pages": {"least_range": LEAST_RANGE},
    }


def _scoring_rules() -> dict[str, Any]:
    from orchboard.analytics.sparkline import MAX_POINTS  # at first use: numpy takes 0.2 s
    from orchboard.scoring import ROUND_TRIP_WEIGHT, SUCCESS_WEIGHT, TARGET_AT_MEDIAN, score_ai

    return {
        "success_weight": SUCCESS_WEIGHT,
        "round_trip_weight": ROUND_TRIP_WEIGHT,
        "at_median": TARGET_AT_MEDIAN,
        "best_at_median": f"{score_ai([1.0], [1.0], [1.0]).score[0]:.2f}",
        "sparkline_points": MAX_POINTS,
    }


def _uptime_rules() -> dict[str, Any]:
    from orchboard.analytics.uptime_request import FAILING_BELOW, GOOD_FROM, MAX_CELLS

    return {
        "good_from": _percent(GOOD_FROM),
        "failing_below": _percent(FAILING_BELOW),
        "days": MAX_CELLS,
    }


def _silence_rules() -> dict[str, Any]:
    from orchboard.analytics.silence import GAPS_UNTIL_SILENT, MIN_GAPS, OUTAGES, UNKNOWN_GAP

    return {
        "gaps": GAPS_UNTIL_SILENT,
        "hours": MIN_GAPS + 1,
        "outages": _percent(OUTAGES),
        "unknown_h": UNKNOWN_GAP.total_seconds() // 3600,
    }


def _verdict_rules() -> dict[str, Any]:
    from orchboard.analytics import verdicts  # at first use: numpy takes 0.2 s
    from orchboard.analytics.coverage import COMPARED_EVERY, DIFFERS_AT_LEAST, DIFFERS_SHARE, WEEK

    return {
        "alpha": f"{verdicts.ALPHA * 100:g}\u00a0%",
        "success": f"{verdicts.MIN_DIFFERENCE * 100:.0f}",
        "ratio": verdicts.MIN_RATIO,
        "ratio_between": verdicts.MIN_RATIO_BETWEEN_REGIONS,
        "seconds_between": verdicts.MIN_SECONDS_BETWEEN_REGIONS,
        "others": verdicts.MIN_OTHERS,
        "every_min": COMPARED_EVERY.total_seconds() // 60,
        "days": WEEK.days,
        "at_least": DIFFERS_AT_LEAST,
        "share": _percent(DIFFERS_SHARE),
    }


def _event_rules() -> dict[str, Any]:
    from orchboard.analytics import events

    return {
        "failing": _percent(events.FAILING),
        "working": _percent(events.WORKING),
        "results": events.EVIDENCE_RESULTS,
        "regions": events.EVIDENCE_REGIONS,
        "silent_gaps": events.SILENT_GAPS,
        "longest_gaps": events.LONGEST_GAPS,
        "silent_hours": events.SILENT_HOURS,
        "new_results": events.NEW_RESULTS,
    }


def _percent(share: float) -> str:
    """A share without decimals, with a space that does not break.

    >>> _percent(0.9)
    '90\\xa0%'
    """
    return f"{share * 100:.0f}\u00a0%"
