"""The link to /status on the pages of a server that has that page."""

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from orchboard.answers.answer import AnyBody
from orchboard.answers.cached_query import CachedQuery
from orchboard.answers.replies import Replies
from orchboard.web.rendering import has_status_page


class LinkingReplies(Replies):
    """Replies whose pages link to /status, also when the answer cache computes them again."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies

    async def reply(self, request: Request, query: CachedQuery, *, by_target: bool = True) -> Response:
        """See Replies."""

        async def compute() -> AnyBody:
            has_status_page.set(True)
            return await query.compute()

        return await self._replies.reply(request, replace(query, compute=compute), by_target=by_target)
