"""GET /: orchestrators by rank."""

from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchboard.analytics.ranking_query import SORTS, RankingQuery
from orchboard.answers.cached_query import CachedQuery
from orchboard.answers.origin import origin_of
from orchboard.answers.replies import Replies
from orchboard.api.leaderboard import parse_ranking
from orchboard.errors import DatabaseUnavailableError
from orchboard.leaderboard import Leaderboard
from orchboard.reports.leaderboard import Ranking
from orchboard.stats import JobType, StatsQuery, is_address
from orchboard.web.filters import Filters, fetch_filters, live_query
from orchboard.web.rendering import NOT_CACHED, render_text
from orchboard.web.report_page import report_page
from orchboard.web.state import SCOPE, PageState
from orchboard.window import EARLIEST, Bounds

NAMES = (*SCOPE, "search", "min_results", "sort", "order", "cursor")
"""The parameters of the page."""

PAGE_ROWS = 100


class Column(Struct, frozen=True):
    """A column that the table can be sorted by.

    key -- the parameter `sort`; label -- its heading; help -- what it means
    of -- a job type, if only that has it
    """

    key: str
    label: str
    help: str
    of: JobType | None = None


COLUMNS = (
    Column("rank", "Rank", "By score. The ranks that the intervals of all scores leave possible stand beside it."),
    Column("orchestrator", "Orchestrator", "Ethereum address."),
    Column("score", "Score", "0 to 1: the mean over regions with equal weights. The bar is its 95 % interval."),
    Column("success_rate", "Success", "Mean share of a job that succeeded."),
    Column("p50", "Median", "Half of the round trips take at most this long: from the request to the whole result."),
    Column("p90", "90 %", "90 % of the round trips take at most this long."),
    Column("real_time_ratio", "Real time", "Length of the video divided by the round trip: above 1 is faster than it plays.",
           JobType.TRANSCODING),
    Column("results", "Results", "Scored results in the window."),
    Column("last_tested", "Last tested", "When the last result was received."),
    Column("trend", "Trend", "The score over the window, and its change from the window before, which is as long."),
)  # fmt: skip


class _NoResultsYet(Exception):  # noqa: N818 - not a fault
    """No result of the job type is stored. The page then shows how to post one to the requested host."""


async def leaderboard_page(request: Request, board: Leaderboard, replies: Replies) -> Response:
    """The leaderboard.

    A query string with an empty parameter comes from the form. It is redirected to the URL without defaults; an address that is
    searched for leads to its page.
    """
    params = request.query_params
    state = PageState.parse("/", params, NAMES)
    query = page_query(state, board)
    one = params.get("orchestrator", "").strip() or (
        state.get("search") if is_address(state.get("search")) else ""
    )
    if one:
        return RedirectResponse(state.at(orchestrator_path(one)), 303, NOT_CACHED)
    if "" in params.values():
        return RedirectResponse(state.link(), 303, NOT_CACHED)
    try:
        return await replies.reply(request, query)
    except (_NoResultsYet, DatabaseUnavailableError):  # the last answer may be that of an empty board
        query = page_query(state, board, origin=origin_of(request))
        return await replies.reply(request, query, by_target=False)


def orchestrator_path(orchestrator: str) -> str:
    """The path of an orchestrator's page."""
    return f"/orchestrator/{quote(orchestrator.lower(), safe='')}"


def page_query(state: PageState, board: Leaderboard, origin: str | None = None) -> CachedQuery:
    """The query of a page. Raises BadInputError.

    origin -- scheme and host for the commands on the page of an empty board; None: the computation raises _NoResultsYet
    for an empty board, so that all other pages are equal for every host
    """
    query = replace(parse_ranking(state.params), limit=PAGE_ROWS)

    async def compute() -> bytes:
        from orchboard.analytics.leaderboard import leaderboard  # at first use: numpy takes 0.2 s

        filters = await fetch_filters(board, state, query.scope)
        return await _render(state, query, await leaderboard(board, query), filters, board, origin)

    return report_page(("page", state, origin), compute, board)


async def _render(
    state: PageState,
    query: RankingQuery,
    ranking: Ranking,
    filters: Filters,
    board: Leaderboard,
    origin: str | None,
) -> bytes:
    job_type = ranking.job_type
    is_new = not ranking.results and not state.is_filtered and await _is_empty(board, job_type)
    if is_new and origin is None:
        raise _NoResultsYet
    columns = [column for column in COLUMNS if column.of in (None, job_type)]
    return render_text(
        "leaderboard.html",
        state=state,
        filters=filters,
        ranking=ranking,
        columns=columns,
        sort=query.sort,
        descending=query.descending,
        default_descending=SORTS,
        origin=origin if is_new else None,
        json_url=state.at("/api/leaderboard", NAMES),
        is_first=query.page is None,
        live_query=live_query(query.scope) if query.page is None else "",
        page_rows=PAGE_ROWS,
        orchestrator_path=orchestrator_path,
    )


async def _is_empty(board: Leaderboard, job_type: JobType) -> bool:
    """Whether no scored result of the job type is stored."""
    ever = StatsQuery(job_type=job_type, window=board.window(Bounds(since=EARLIEST)))
    return not (await board.aggregated_stats(ever)).pairs
