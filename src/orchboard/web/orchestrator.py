"""GET /orchestrator/{address}: everything about one orchestrator."""

from collections.abc import Mapping
from urllib.parse import quote, unquote, urlencode

from msgspec import Struct
from msgspec.structs import replace
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchboard import limits
from orchboard.analytics.history_request import HistoryRequest
from orchboard.analytics.ranking_query import RankingQuery
from orchboard.analytics.recent_request import RecentRequest
from orchboard.analytics.scope import Scope
from orchboard.analytics.uptime_request import UptimeRequest
from orchboard.answers.cached_query import CachedQuery
from orchboard.answers.replies import Replies
from orchboard.api.scope_params import parse_scope_of
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.reports.history import History
from orchboard.reports.leaderboard import Standing
from orchboard.reports.orchestrator import JobTypeRating, Orchestrator
from orchboard.reports.uptime import Uptime
from orchboard.stats import JobType, is_address
from orchboard.web.calculator import term_url
from orchboard.web.charts import line_of, score_chart, seconds_chart
from orchboard.web.compare import compare_url
from orchboard.web.filters import fetch_filters, live_query
from orchboard.web.leaderboard import orchestrator_path
from orchboard.web.region_map import rating_map
from orchboard.web.rendering import NOT_CACHED, render_text
from orchboard.web.report_page import report_page
from orchboard.web.state import SCOPE, PageState

RECENT = 50
"""Latest results on the page."""

MOST_TERMS = 100
"""Terms of the score on the page, those that lose most; the JSON has all."""

_POINTS = 60


class _Found(Struct, frozen=True):
    """What the page shows.

    about -- with the results of one job type
    other -- without any in the window: the other job type, if it was ever tested with that; whether in the window
    rating -- its scores; None without results in the window
    standing, ranked -- its place among all ranked; None without one
    medians -- median round trips in seconds, by region
    """

    about: Orchestrator
    other: JobType | None
    other_is_in_window: bool
    rating: JobTypeRating | None
    standing: Standing | None
    ranked: int
    medians: Mapping[str, float]
    history: History
    uptime: Uptime


async def orchestrator_page(request: Request, board: Leaderboard, replies: Replies) -> Response:
    """The page of an orchestrator, whether or not it was ever tested."""
    address = unquote(request.path_params["address"])  # `/` and `%` in it stay encoded
    if len(address) > limits.MAX_ORCHESTRATOR_CHARACTERS:
        raise BadInputError(f"address is longer than {limits.MAX_ORCHESTRATOR_CHARACTERS} characters")
    if "\x00" in address:
        raise BadInputError("address contains the character U+0000")
    path = orchestrator_path(address)
    state = PageState.parse(path, request.query_params, SCOPE)
    query = page_query(address, state, request.query_params, board)
    if "" in request.query_params.values() or address != address.lower():
        return RedirectResponse(state.link(), 303, NOT_CACHED)
    return await replies.reply(request, query)


def page_query(address: str, state: PageState, asked: QueryParams, board: Leaderboard) -> CachedQuery:
    """The query of a page. Raises BadInputError.

    asked -- a job type that is not named in it is the one with results: transcoding if both have
    """
    scope = parse_scope_of(frozenset([address]), state.params, job_type=JobType.TRANSCODING)
    is_fixed = bool(asked.get("job_type")) or scope.query.job_type is JobType.AI

    async def compute() -> bytes:
        return await _render(board, address, state, scope, is_fixed=is_fixed)

    return report_page(("orchestrator page", address, state, is_fixed), compute, board)


async def _render(
    board: Leaderboard, address: str, state: PageState, scope: Scope, *, is_fixed: bool
) -> bytes:
    found = await _find(board, address, scope)
    if (
        found.other is not None
        and not is_fixed
        and (found.about.status == "never" or found.other_is_in_window)
        and await _has_region(board, found.other, scope.query.region)
    ):
        state = state.changed(job_type=found.other)
        scope = replace(scope, query=replace(scope.query, job_type=found.other))
        found = await _find(board, address, scope)
    filters = await fetch_filters(board, state, scope)
    asked = {"job_type": filters.job_type, **dict(state.values)}  # the API's default is both
    api = f"/api/orchestrators/{quote(address, safe='')}"
    return render_text(
        "orchestrator.html",
        state=state,
        filters=filters,
        found=found,
        about=found.about,
        rating=found.rating,
        address=address,
        is_address=is_address(address),
        compare_url="" if "," in address else compare_url(state, [address]),
        json_url=f"{api}?{urlencode(asked)}",
        payloads_url=f"{api}?{urlencode({**asked, 'recent': RECENT, 'payload': 'true'})}",
        now=found.about.generated_at,
        live_query=live_query(scope),
        term_url=term_url,
        most_terms=MOST_TERMS,
        map=rating_map(
            found.rating.regions if found.rating else [], found.medians, filters, state, board.coordinates
        ),
        **_charts(found.history),
    )


def _charts(history: History) -> dict[str, object]:
    if not history.lines or not history.lines[0].points:
        return {"scores": None, "round_trips": None}
    median = line_of(history, "line-main", "Median", "p50")
    upper = line_of(history, "line-upper", "90 %", "p90")
    return {
        "scores": score_chart(history, [line_of(history, "line-main", "Score", "score")]),
        "round_trips": seconds_chart(history, [median, upper], "band"),
    }


async def _find(board: Leaderboard, address: str, scope: Scope) -> _Found:
    from orchboard.analytics.history import history  # at first use: numpy takes 0.2 s
    from orchboard.analytics.leaderboard import leaderboard
    from orchboard.analytics.orchestrator import orchestrator
    from orchboard.analytics.region_medians import region_medians
    from orchboard.analytics.uptime import uptime

    about = await orchestrator(board, address, scope, RecentRequest(RECENT))
    other, is_in_window = None, False
    if about.status != "tested":
        other, is_in_window = await _other_job_type(board, address, scope)
    rating = about.scores[0] if about.scores else None
    standing, ranked = None, 0
    if rating is not None and rating.score is not None:
        ranking = await leaderboard(board, RankingQuery(scope=scope))
        standing, ranked = next(iter(ranking.orchestrators), None), ranking.ranked
    return _Found(
        about,
        other,
        is_in_window,
        rating,
        standing,
        ranked,
        await region_medians(board, scope) if rating is not None and rating.score is not None else {},
        await history(board, HistoryRequest(scope, (address,), "orchestrator", points=_POINTS)),
        await uptime(board, UptimeRequest(scope.query)),
    )


async def _has_region(board: Leaderboard, job_type: JobType, region: str | None) -> bool:
    """Whether a job type has a region; True without one."""
    return region is None or any(
        each.id == region and each.type is job_type for each in await board.regions()
    )


async def _other_job_type(board: Leaderboard, address: str, scope: Scope) -> tuple[JobType | None, bool]:
    """The other job type, if the orchestrator was ever tested with it, and whether in the window."""
    from orchboard.analytics.orchestrator import orchestrator

    [job_type] = set(JobType) - {scope.query.job_type}
    query = replace(scope.query, job_type=job_type, region=None, pipeline=None, model=None)
    about = await orchestrator(board, address, replace(scope, query=query), RecentRequest(1))
    return None if about.status == "never" else job_type, about.status == "tested"
