"""GET /"""

from typing import Any
from urllib.parse import urlencode

import structlog
from starlette.requests import Request
from starlette.responses import Response

from orchboard.answers.answer import Headers
from orchboard.answers.question import MOVING_S, Question, score_slots
from orchboard.answers.replies import Replies
from orchboard.errors import BadInputError, Refusal, SetupError
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType, Region, ScoresByCell, Window
from orchboard.store.changes import job_type_slot
from orchboard.web.choice import Choice, model_options, parse_choice, pipeline_options, spans
from orchboard.web.ranking import COLUMNS, REGION_COLUMNS, rank_in_regions, rank_orchestrators, sort_rows
from orchboard.web.rendering import SECURITY_HEADERS, render_page, render_text

log = structlog.get_logger(__name__)

# Some 1.4 kB each; whoever wants more rows than this wants the API.
MAX_ROWS = 500

RETRY_AFTER_S = 5

_NOT_CACHED = {"Cache-Control": "no-store"}
_HEADERS: Headers = (
    (b"cache-control", b"public, max-age=30"),
    (b"cdn-cache-control", b"public, s-maxage=30, stale-while-revalidate=15"),
    *((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()),
    (b"content-type", b"text/html; charset=utf-8"),
)


async def leaderboard_page(request: Request, board: Leaderboard, replies: Replies) -> Response:
    """The leaderboard, or one orchestrator's regions; a refusal is a page of the same layout."""
    try:
        return await replies.reply(request, page_question(request, board))
    except Refusal as refusal:
        return _refused(refusal, request)


def page_question(request: Request, board: Leaderboard) -> Question:
    """What the page is asked, and how it is made. Raises BadInputError."""
    choice = parse_choice(request.query_params, board.default_window)

    async def compute() -> bytes:
        return await _render(choice, board)

    slots = set(score_slots(choice.job_type, choice.pipeline, choice.model))
    if choice.job_type is JobType.AI:
        slots.add(job_type_slot(JobType.AI))  # the pipelines to choose from
    return Question(("page", choice), compute, _HEADERS, slots=tuple(slots), max_age_s=MOVING_S)


async def _render(choice: Choice, board: Leaderboard) -> bytes:
    now = board.now()
    window = choice.window(now)
    regions = await board.regions()
    names = {region.id: region.name for region in regions if region.type is choice.job_type}
    if choice.region is not None and choice.region not in names:
        raise BadInputError(f"region {choice.region[:40]!r} is not known for {choice.job_type} jobs")
    scores = (await board.aggregated_stats(choice.query(window))).by_cell()
    seen = await board.pipelines(window, choice.region) if choice.job_type is JobType.AI else ()
    context = {
        "choice": choice,
        "tabs": [_tab(job_type, choice, regions) for job_type in JobType],
        "names": names,
        "pipeline_options": pipeline_options(choice, seen),
        "model_options": model_options(choice, seen),
        "spans": spans(board.default_window),
        "now": now,
        "json_url": _json_url(choice, window),
        "orchestrators": len(scores),
    }
    if choice.orchestrator is None:
        return _leaderboard(scores, choice, context)
    return _orchestrator(scores, choice, choice.orchestrator, context)


def _leaderboard(scores: ScoresByCell, choice: Choice, context: dict[str, Any]) -> bytes:
    table = sort_rows(rank_orchestrators(scores), COLUMNS, choice.sort, descending=choice.descending)
    columns = [column for column in COLUMNS if not (choice.region and column.over_regions)]
    return render_text(
        "leaderboard.html", **context, table=table, columns=columns, rows=table.rows[:MAX_ROWS]
    )


def _orchestrator(scores: ScoresByCell, choice: Choice, orchestrator: str, context: dict[str, Any]) -> bytes:
    rows = rank_in_regions(scores, orchestrator)
    table = sort_rows(rows, REGION_COLUMNS, choice.sort, descending=choice.descending)
    overall = next((row for row in rank_orchestrators(scores) if row.orchestrator == orchestrator), None)
    return render_text(
        "orchestrator.html",
        **context,
        table=table,
        columns=REGION_COLUMNS,
        rows=table.rows,
        overall=overall,
    )


def _refused(refusal: Refusal, request: Request) -> Response:
    """400 with what was wrong, or 503 with when to come back; how the server is set up stays its own."""
    log.info("page refused", refused=str(refusal))
    again = f"/?{request.url.query}" if request.url.query else "/"
    if isinstance(refusal, BadInputError):
        return render_page("refused.html", 400, _NOT_CACHED, message=str(refusal), again=None)
    message = "the server is not ready" if isinstance(refusal, SetupError) else str(refusal)
    headers = {**_NOT_CACHED, "Retry-After": str(RETRY_AFTER_S)}
    return render_page("refused.html", 503, headers, message=message, again=again)


def _tab(job_type: JobType, choice: Choice, regions: tuple[Region, ...]) -> tuple[JobType, str]:
    """A job type and the link that changes to it, with as much of the choice as makes sense there."""
    there = any(region.id == choice.region and region.type is job_type for region in regions)
    region = choice.region if there else None
    return job_type, choice.link(job_type=job_type, region=region, pipeline=None, model=None)


def _json_url(choice: Choice, window: Window) -> str | None:
    """The same scores from the API; None when it has no such question."""
    if (choice.pipeline is None) != (choice.model is None):
        return None
    fields = {
        "job_type": choice.job_type,
        "orchestrator": choice.orchestrator,
        "region": choice.region,
        "pipeline": choice.pipeline,
        "model": choice.model,
        "since": None if choice.span.is_default else int(max(0, window.since.timestamp())) or 1,
    }
    return "/api/aggregated_stats?" + urlencode({name: value for name, value in fields.items() if value})
