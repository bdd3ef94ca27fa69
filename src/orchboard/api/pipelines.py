"""GET /api/pipelines"""

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.params import Params, check_model_has_pipeline
from orchboard.api.responses import json_answer
from orchboard.leaderboard import Leaderboard
from orchboard.stats import Pipeline


class Pipelines(Struct, frozen=True):
    """The pipelines.

    pipelines -- sorted; empty when none was seen
    """

    pipelines: tuple[Pipeline, ...]


async def pipelines(request: Request, board: Leaderboard) -> Response:
    """The pipelines seen in the window, with their models and regions."""
    params = Params(request.scope["query_string"])
    board.window(params.get("since"), params.get("until"))  # a bad time is reported before a missing model
    check_model_has_pipeline(params)
    return json_answer(
        Pipelines(await board.pipelines(params.get("since"), params.get("until"), params.region))
    )
