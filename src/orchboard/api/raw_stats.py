"""GET /api/raw_stats"""

from msgspec.structs import replace

from orchboard.answers.answer import HeadedBody, Pieces
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.cursors import parse_result_cursor, result_cursor
from orchboard.api.endpoint import Param
from orchboard.api.kept_since import kept_since_headers
from orchboard.api.params import Params, StatsRequest, max_age_s, parse_stats_query
from orchboard.api.responses import JSON_HEADERS, exposed
from orchboard.api.scope_params import whole_number
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.store.change_tracking.version_counters import orchestrator_key
from orchboard.store.raw_results.export import ResultKey

MAX_LIMIT = 1000

LIMIT = Param("limit", f"Answer with a page of at most this many results, 1 to {MAX_LIMIT}. Default: all results; {MAX_LIMIT} with "
              "a `cursor`.", "100")  # fmt: skip
CURSOR = Param(
    "cursor",
    "Answer with the page after this one: the header `Orchboard-Cursor` of a page.",
    "2026-03-01T12:00:00.000000Z_41",
)


def raw_stats(params: Params, board: Leaderboard) -> CachedQuery:
    """Every stored result of one orchestrator in the window, by region, newest first."""
    if params.orchestrator is None:
        raise BadInputError("orchestrator is a required parameter")
    asked = replace(parse_stats_query(params, pipeline_alone=True), scored=params.flag("scored"))
    limit = whole_number(params, "limit", 0, least=1, most=MAX_LIMIT)
    after = parse_result_cursor(params.get("cursor"), "the header Orchboard-Cursor of the page before")
    if limit or after:
        return _page(params.orchestrator, asked, board, after=after, limit=limit or MAX_LIMIT)

    async def compute() -> bytes | HeadedBody | Pieces:
        query = asked.query(board)
        body = await board.raw_stats(query)
        kept_since = await kept_since_headers(board, query.window.since)
        return HeadedBody(body, exposed(kept_since)) if kept_since else body

    return CachedQuery(
        ("raw_stats", asked),
        compute,
        JSON_HEADERS,
        version_keys=(orchestrator_key(params.orchestrator),),
        max_age_s=max_age_s(asked.bounds, board),
    )


def _page(
    orchestrator: str, asked: StatsRequest, board: Leaderboard, *, after: ResultKey | None, limit: int
) -> CachedQuery:
    """The newest results that are older than `after`."""

    async def compute() -> HeadedBody:
        query = asked.query(board)
        body, last = await board.raw_stats_page(query, after=after, limit=limit)
        headers = await kept_since_headers(board, query.window.since)
        if last is not None:
            headers = (*headers, (b"orchboard-cursor", result_cursor(last).encode()))
        return HeadedBody(body, exposed(headers))

    return CachedQuery(
        ("raw_stats", asked, after, limit),
        compute,
        JSON_HEADERS,
        version_keys=(orchestrator_key(orchestrator),),
        max_age_s=max_age_s(asked.bounds, board),
    )
