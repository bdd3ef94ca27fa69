"""GET /api/raw_stats"""

from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.params import Params, parse_stats_query
from orchboard.api.responses import json_answer
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard


async def raw_stats(request: Request, board: Leaderboard) -> Response:
    """Every stored result of one orchestrator in the window, by region, newest first."""
    params = Params(request.scope["query_string"])
    if params.orchestrator is None:
        raise BadInputError("orchestrator is a required parameter")
    query = parse_stats_query(params, board, pipeline_alone=True)
    return json_answer(await board.raw_stats(query))
