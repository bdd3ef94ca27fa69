"""GET /"""

from typing import Any
from urllib.parse import urlencode

import structlog
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchboard import limits
from orchboard.answers.answer import Headers
from orchboard.answers.cached_query import CachedQuery
from orchboard.answers.origin import origin_of
from orchboard.answers.replies import Replies
from orchboard.errors import BadInputError, DatabaseUnavailableError, Refusal
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType, Region, ScoresByPair, Window
from orchboard.store.change_tracking.version_counters import (
    job_type_key,
    orchestrator_key,
    score_version_keys,
)
from orchboard.web.choice import (
    ALL_TIME,
    Choice,
    model_options,
    parse_choice,
    pipeline_options,
    window_options,
)
from orchboard.web.orchestrator import find_absence
from orchboard.web.ranking import COLUMNS, REGION_COLUMNS, rank_in_regions, rank_orchestrators, sort_rows
from orchboard.web.refused import refusal_page
from orchboard.web.rendering import SECURITY_HEADERS, render_text

log = structlog.get_logger(__name__)

# Maximum number of rows, of 1.4 kB each. The API has all of them.
MAX_ROWS = 500

# On the page of one orchestrator.
LATEST_RESULTS = 20

_NOT_CACHED = {"Cache-Control": "no-store"}
_HEADERS: Headers = (
    (b"cache-control", b"public, max-age=30"),
    (b"cdn-cache-control", b"public, s-maxage=30, stale-while-revalidate=15"),
    *((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()),
    (b"content-type", b"text/html; charset=utf-8"),
)


class _NoResultsYet(Exception):  # noqa: N818 - not a fault
    """No result of the job type is stored. The page then shows how to post one to the requested host."""


async def leaderboard_page(request: Request, board: Leaderboard, replies: Replies) -> Response:
    """The leaderboard or the page of one orchestrator; refusals are pages, too.

    A query string with an empty parameter comes from the form. It is redirected to the URL without defaults.
    """
    try:
        choice = parse_choice(request.query_params, board.default_window)
        if "" in request.query_params.values():
            return RedirectResponse(choice.link(), 303, _NOT_CACHED)
        try:
            return await replies.reply(request, page_query(choice, board))
        except (_NoResultsYet, DatabaseUnavailableError):  # the last answer may be that of an empty board
            question = page_query(choice, board, origin_of(request))
            return await replies.reply(request, question, by_target=False)
    except Refusal as refusal:
        log.info("page refused", refused=str(refusal))
        return refusal_page(refusal, request.url.query)


def page_query(choice: Choice, board: Leaderboard, origin: str | None = None) -> CachedQuery:
    """The query of a page.

    origin -- scheme and host for the commands on the page of an empty board; None: the computation raises _NoResultsYet
    for an empty board, so that all other pages are equal for every host
    """

    async def compute() -> bytes:
        return await _render(choice, board, origin)

    counters = set(score_version_keys(choice.job_type, choice.pipeline, choice.model))
    if choice.job_type is JobType.AI:
        counters.add(job_type_key(JobType.AI))  # the pipelines to choose from
    if choice.orchestrator is not None:
        counters.add(orchestrator_key(choice.orchestrator))  # its latest results
    return CachedQuery(
        ("page", choice, origin),
        compute,
        _HEADERS,
        version_keys=tuple(counters),
        max_age_s=limits.SLIDING_WINDOW_TTL_S,
    )


async def _render(choice: Choice, board: Leaderboard, origin: str | None) -> bytes:
    now = board.now()
    window = board.window(choice.window.bounds(now))
    regions = await board.regions()
    names = {region.id: region.name for region in regions if region.type is choice.job_type}
    if choice.region is not None and choice.region not in names:
        raise BadInputError(f"region {choice.region[:40]!r} is not known for {choice.job_type} jobs")
    scores = (await board.aggregated_stats(choice.query(window))).by_pair()
    seen = await board.pipelines(window, choice.region) if choice.job_type is JobType.AI else ()
    context = {
        "choice": choice,
        "tabs": [_tab(job_type, choice, regions) for job_type in JobType],
        "names": names,
        "pipeline_options": pipeline_options(choice, seen),
        "model_options": model_options(choice, seen),
        "window_options": window_options(board.default_window),
        "window": window,
        "now": now,
        "json_url": _json_url(choice, window),
        "orchestrators": len(scores),
    }
    if choice.orchestrator is None:
        return await _leaderboard(scores, choice, board, context, origin)
    return await _orchestrator(scores, choice, choice.orchestrator, board, context)


async def _leaderboard(
    scores: ScoresByPair, choice: Choice, board: Leaderboard, context: dict[str, Any], origin: str | None
) -> bytes:
    table = sort_rows(rank_orchestrators(scores), COLUMNS, choice.sort, descending=choice.descending)
    columns = [column for column in COLUMNS if not (choice.region and column.over_regions)]
    is_new = not scores and not choice.is_filtered and await _is_empty(choice, board)
    if is_new and origin is None:
        raise _NoResultsYet
    return render_text(
        "leaderboard.html",
        **context,
        table=table,
        columns=columns,
        rows=table.rows[:MAX_ROWS],
        origin=origin if is_new else None,
    )


async def _is_empty(choice: Choice, board: Leaderboard) -> bool:
    """Whether no scored result of the job type is stored."""
    ever = choice.query(board.window(ALL_TIME.bounds(board.now())))
    return not (await board.aggregated_stats(ever)).pairs


async def _orchestrator(
    scores: ScoresByPair,
    choice: Choice,
    orchestrator: str,
    board: Leaderboard,
    context: dict[str, Any],
) -> bytes:
    rows = rank_in_regions(scores, orchestrator)
    table = sort_rows(rows, REGION_COLUMNS, choice.sort, descending=choice.descending)
    overall = next((row for row in rank_orchestrators(scores) if row.orchestrator == orchestrator), None)
    asked = replace(choice.query(context["window"]), orchestrator=orchestrator)
    latest = await board.latest_results(asked, LATEST_RESULTS)
    return render_text(
        "orchestrator.html",
        **context,
        table=table,
        columns=REGION_COLUMNS,
        rows=table.rows,
        overall=overall,
        latest=latest,
        absence=None if rows else await find_absence(board, choice, orchestrator, latest),
    )


def _tab(job_type: JobType, choice: Choice, regions: tuple[Region, ...]) -> tuple[JobType, str]:
    """A job type and the link to its page, which keeps the filters that apply to it."""
    there = any(region.id == choice.region and region.type is job_type for region in regions)
    region = choice.region if there else None
    return job_type, choice.link(job_type=job_type, region=region, pipeline=None, model=None)


def _json_url(choice: Choice, window: Window) -> str | None:
    """The URL of these scores in the API; None if it has none."""
    if (choice.pipeline is None) != (choice.model is None):
        return None
    fields = {
        "job_type": choice.job_type,
        "orchestrator": choice.orchestrator,
        "region": choice.region,
        "pipeline": choice.pipeline,
        "model": choice.model,
        "since": choice.window.since,
        "until": choice.window.until,
    }
    if choice.window.id and not choice.window.is_default:
        fields["since"] = str(int(max(1, window.since.timestamp())))
    return "/api/aggregated_stats?" + urlencode({name: value for name, value in fields.items() if value})
