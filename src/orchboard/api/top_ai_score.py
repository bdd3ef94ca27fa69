"""GET /api/top_ai_score"""

from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.params import Params
from orchboard.api.responses import json_answer
from orchboard.leaderboard import Leaderboard


async def top_ai_score(request: Request, board: Leaderboard) -> Response:
    """The best AI result group of one orchestrator, or of all."""
    params = Params(request.scope["query_string"])
    top = await board.top_ai_score(params.orchestrator)
    return json_answer(top if top is not None else {})
