"""The routes of the pages and their static files."""

from collections.abc import Awaitable, Callable, Mapping

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchboard.answers.replies import Replies
from orchboard.errors import Refusal
from orchboard.leaderboard import Leaderboard
from orchboard.web.assets import ASSETS, asset_route
from orchboard.web.compare import compare_page
from orchboard.web.leaderboard import leaderboard_page
from orchboard.web.methods import methods_page
from orchboard.web.network import network_page
from orchboard.web.orchestrator import orchestrator_page
from orchboard.web.refused import refusal_page
from orchboard.web.status import status_route
from orchboard.web.status_figures import StatusSources
from orchboard.web.status_link import LinkingReplies

log = structlog.get_logger(__name__)

Page = Callable[[Request, Leaderboard, Replies], Awaitable[Response]]
"""Answers the request of a page. Raises the Refusal that it ends in."""

PAGES: Mapping[str, Page] = {
    "/": leaderboard_page,
    "/methods": methods_page,
    "/orchestrator/{address}": orchestrator_page,
    "/network": network_page,
    "/compare": compare_page,
}
"""By path."""


def web_routes(board: Leaderboard, replies: Replies, status: StatusSources | None = None) -> list[Route]:
    """The routes of the pages and of their static files. status -- of the page /status; None: there is none"""
    if status is not None:
        replies = LinkingReplies(replies)
    return [
        *([] if status is None else [status_route(status)]),
        *(_route(path, page, board, replies) for path, page in PAGES.items()),
        *map(asset_route, ASSETS.values()),
    ]


def _route(path: str, page: Page, board: Leaderboard, replies: Replies) -> Route:
    async def answer(request: Request) -> Response:
        try:
            return await page(request, board, replies)
        except Refusal as refusal:
            log.info("page refused", refused=str(refusal))
            return refusal_page(refusal, request.url.path, request.url.query)

    return Route(path, answer, methods=["GET"])
