"""The number of a badge."""

import math

import numpy as np
from msgspec.structs import replace

from orchboard.analytics.badge_request import THRESHOLDS, BadgeMetric, BadgeRequest
from orchboard.analytics.group_columns import JOB_TYPES
from orchboard.analytics.groups import Points, score_owners
from orchboard.leaderboard import Leaderboard
from orchboard.reports.badge import Badge, BadgeColor
from orchboard.stats import JobType, SeriesQuery, Window
from orchboard.store.details.details import Details, Needs
from orchboard.window import EARLIEST, LATEST

NEVER_TESTED, NOT_TESTED = "never tested", "not tested"


async def badge(board: Leaderboard, request: BadgeRequest) -> Badge:
    """The badge of one orchestrator."""
    details = await board.store.details.fetch(
        request.scope.query, request.scope.window.resolve(board), Needs(medians=True)
    )
    if request.metric == "score" and request.scope.query.job_type is None:
        request, details = _of_one_job_type(request, details)
    query = request.scope.query
    if details.sums.results.sum():
        number = _number(details, request.metric, scores_any_name=board.scores_any_name)
        message = "no score" if number is None else _text(number, request.metric)
    else:
        number, message = None, await missing(board, query, details)
    return Badge(label=request.label, message=message, color=_color(number, request.metric))


def _of_one_job_type(request: BadgeRequest, details: Details) -> tuple[BadgeRequest, Details]:
    """A badge of transcoding if there are scored results of it, else of AI; without any scored result, of both."""
    for job_type in (JobType.TRANSCODING, JobType.AI):
        of_type = details.index.mask(SeriesQuery(job_type=job_type))[details.sums.series]
        sums = details.sums.select(np.flatnonzero(of_type))
        if sums.results.sum():
            query = replace(request.scope.query, job_type=job_type)
            request = replace(request, scope=replace(request.scope, query=query))
            return request, Details(details.index, sums, details.medians)
    return request, details


async def missing(board: Leaderboard, query: SeriesQuery, details: Details) -> str:
    """Why there is no number: details of a window without a scored result."""
    if details.sums.unscored.sum():
        return "unscored only"
    return NOT_TESTED if await was_ever_tested(board, query) else NEVER_TESTED


async def was_ever_tested(board: Leaderboard, query: SeriesQuery) -> bool:
    """Whether any result is stored of an orchestrator that a query names, by whatever tester."""
    by_anyone = replace(query, tester=None)
    for orchestrator in query.orchestrators or ():
        if await board.store.recent_results.fetch(
            orchestrator, by_anyone, Window(EARLIEST, LATEST), 1, with_payload=False
        ):
            return True
    return False


def _number(details: Details, metric: BadgeMetric, *, scores_any_name: bool) -> float | None:
    sums = details.sums
    if metric == "score":
        scores = score_owners(Points.of(details), JOB_TYPES, any_name=scores_any_name).score
        return float(scores[0]) if len(scores) else None
    succeeded = sums.successes if metric == "uptime" else sums.measure("success_rate")
    return float(succeeded.sum() / sums.results.sum())


def _text(number: float, metric: BadgeMetric) -> str:
    """A number as text: from 0 to 1, whatever a tester sent. Percentages are rounded down: 100% means all."""
    within = min(max(number, 0.0), 1.0)
    if metric == "score":
        return f"{within:.2f}"
    return f"{math.floor(round(within * 1000, 6)) / 10:g}%"


def _color(number: float | None, metric: BadgeMetric) -> BadgeColor:
    if number is None:
        return "lightgrey"
    good_from, failing_below = THRESHOLDS[metric]
    if number >= good_from:
        return "brightgreen"
    return "red" if number < failing_below else "orange"
