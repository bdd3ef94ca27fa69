"""The routes of the pages and their static files."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchboard.answers.replies import Replies
from orchboard.leaderboard import Leaderboard
from orchboard.web.assets import ASSETS, asset_route
from orchboard.web.page import leaderboard_page


def web_routes(board: Leaderboard, replies: Replies) -> list[Route]:
    """The routes of `/` and of its static files."""

    async def answer(request: Request) -> Response:
        return await leaderboard_page(request, board, replies)

    return [Route("/", answer, methods=["GET"], name="leaderboard"), *map(asset_route, ASSETS.values())]
