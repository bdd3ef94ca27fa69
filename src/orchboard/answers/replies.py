"""Cached answers as responses of the ASGI application, whole or streamed."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from functools import partial

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchboard import limits
from orchboard.answers.answer import Headers, Pieces
from orchboard.answers.cache import AnswerCache, Entry
from orchboard.answers.cached_query import CachedQuery
from orchboard.runtime.tasks import cancel_and_wait

NoteRoute = Callable[[Scope, str, Entry, str], None]
"""Called with a request's scope, its Accept-Encoding, and the cache entry and encoding that it leads to."""

MADE = "orchboard.response"
"""Where a scope has the response, if it was made before the request went to ASGI."""


class Replies:
    """Makes the responses to cached queries.

    note_route -- called for each current answer
    """

    def __init__(self, answers: AnswerCache, note_route: NoteRoute | None = None) -> None:
        self._answers = answers
        self._note_route = note_route

    async def reply(self, request: Request, query: CachedQuery, *, by_target: bool = True) -> Response:
        """The response, 200 or 304. Raises the Refusal that the query ends in.

        by_target -- whether the answer depends on nothing but the request's target and Accept-Encoding
        """
        accepted = ", ".join(request.headers.getlist("accept-encoding"))
        remember = None
        if self._note_route and by_target:
            remember = partial(self._note_route, request.scope, accepted)
        reply = await self._answers.reply(
            query,
            accept_encoding=accepted,
            if_none_match=", ".join(request.headers.getlist("if-none-match")),
            remember=remember,
        )
        if not isinstance(reply.body, bytes):
            return StreamedResponse(reply.headers, reply.body)
        response = Response(reply.body, reply.status)
        response.raw_headers = list(reply.headers)
        return response


class StreamedResponse(Response):
    """A 200. Its head is sent with the first piece, so that a refusal before that has its own status.

    Raises ClientDisconnect when the client disconnects, TimeoutError after STREAM_S, and what a piece raises. The server
    must then reset the connection, so that the client can tell that the answer is incomplete.
    """

    def __init__(self, headers: Headers, pieces: Pieces) -> None:
        self.status_code = 200
        self.background = None
        self.raw_headers = list(headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        sending = asyncio.create_task(self._send(scope["method"], send))
        disconnect = asyncio.create_task(_until_disconnect(receive))
        try:
            await asyncio.wait(
                (sending, disconnect), timeout=limits.STREAM_S, return_when=asyncio.FIRST_COMPLETED
            )
            if sending.done():
                sending.result()
            elif disconnect.done():
                raise ClientDisconnect
            else:
                raise TimeoutError("the client took too long for a streamed answer")
        finally:
            await cancel_and_wait((sending, disconnect))

    async def _send(self, method: str, send: Send) -> None:
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        if method == "HEAD":
            await send(start)
        else:
            is_started = False
            async with aclosing(self._pieces()) as pieces:
                async for piece in pieces:
                    if not is_started:
                        await send(start)
                        is_started = True
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    del piece
                    # Waits until the client has read nearly all of it, before the next piece is made.
                    await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
