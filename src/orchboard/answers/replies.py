"""Cached answers as HTTP responses: in the encoding that the client accepts, or as a 304."""

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from orchboard.answers.answer import (
    IDENTITY,
    Headers,
    Pieces,
    Streamed,
    Variant,
    choose_encoding,
    encode_pieces,
)
from orchboard.answers.cache import AnswerCache, Entry
from orchboard.answers.cached_query import CachedQuery
from orchboard.answers.streaming import StreamedResponse
from orchboard.errors import ClientBusyError, DatabaseUnavailableError, OverloadedError

NoteRoute = Callable[[Scope, str, Entry, str], None]
"""Called with a request's scope, its Accept-Encoding, and the cache entry and encoding that it leads to."""

_ETAG = re.compile(r'(?:W/)?("[^"]*")')


class Reply(NamedTuple):
    """The parts of a response. status -- 200 or 304; body -- Pieces of a streamed answer"""

    status: int
    headers: Headers
    body: bytes | Pieces


def _nothing(_: Entry, __: str) -> None:
    return None


async def find_reply(
    answers: AnswerCache,
    query: CachedQuery,
    *,
    accepted: str,
    if_none_match: str,
    remember: Callable[[Entry, str], None] = _nothing,
) -> Reply:
    """The answer in an accepted encoding. Raises the Refusal that the query ends in.

    While the database is away or overloaded: the last answer, with its age (RFC 9111: Age; RFC 7234: Warning).

    remember -- called with the cache entry and the encoding of a current answer
    """
    age: Headers = ()
    try:
        answer = await answers.get(query)
    except (DatabaseUnavailableError, ClientBusyError, OverloadedError):
        stale = answers.stale_answer(query)
        if stale is None:
            raise
        answer, age_s = stale
        age = ((b"age", b"%d" % age_s), (b"warning", b'111 - "Revalidation Failed"'))
    if isinstance(answer, Streamed):
        return _stream(answer, accepted, if_none_match)
    encoding = choose_encoding(accepted, is_small=answer.is_small)
    variant = await answers.variant(query, answer, encoding)
    entry = answers.find(query)
    if entry is not None and not age:
        remember(entry, encoding)
    if is_unchanged(if_none_match, variant):
        return Reply(304, (*variant.unchanged_headers, *age), b"")
    return Reply(200, (*variant.headers, *age), variant.body)


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
        remember = _nothing
        if self._note_route and by_target:
            remember = partial(self._note_route, request.scope, accepted)
        reply = await find_reply(
            self._answers,
            query,
            accepted=accepted,
            if_none_match=", ".join(request.headers.getlist("if-none-match")),
            remember=remember,
        )
        if not isinstance(reply.body, bytes):
            return StreamedResponse(reply.headers, reply.body)
        response = Response(reply.body, reply.status)
        response.raw_headers = list(reply.headers)
        return response


def _stream(answer: Streamed, accepted: str, if_none_match: str) -> Reply:
    if if_none_match.strip() == "*":
        return Reply(304, tuple(header for header in answer.headers if header[0] != b"content-type"), b"")
    encoding = choose_encoding(accepted, is_small=False)
    if encoding == IDENTITY:
        return Reply(200, answer.headers, answer.pieces)
    headers = (*answer.headers, (b"content-encoding", encoding.encode()))
    return Reply(200, headers, lambda: encode_pieces(answer.pieces(), encoding))


def is_unchanged(if_none_match: str, variant: Variant) -> bool:
    """Whether If-None-Match contains the variant's ETag, or `*`."""
    return if_none_match.strip() == "*" or variant.etag.decode() in _ETAG.findall(if_none_match)
