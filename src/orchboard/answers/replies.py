"""Answers as HTTP responses: the encoding a reader takes, 304 for what he has."""

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from orchboard.answers.answer import Headers, Pieces, Streamed, Variant
from orchboard.answers.cache import AnswerCache, Entry
from orchboard.answers.cached_query import CachedQuery
from orchboard.answers.encodings import IDENTITY, choose_encoding, encode_pieces
from orchboard.answers.streaming import StreamedResponse
from orchboard.errors import ClientBusyError, DatabaseUnavailableError, OverloadedError

Remember = Callable[[Scope, str, Entry, str], None]
"""Given a request's scope and its Accept-Encoding."""

_ETAG = re.compile(r'(?:W/)?("[^"]*")')


class Reply(NamedTuple):
    """What a reader is sent; status -- 200 or 304; body -- Pieces where it is streamed"""

    status: int
    headers: Headers
    body: bytes | Pieces


def _nothing(_: Entry, __: str) -> None:
    return None


async def find_reply(
    answers: AnswerCache,
    question: CachedQuery,
    *,
    accepted: str,
    if_none_match: str,
    remember: Callable[[Entry, str], None] = _nothing,
) -> Reply:
    """The answer in the encoding that is accepted. Raises the Refusal that the question ends in.

    While the database is away or too much is under way: the last answer that was given, with its age (RFC 9111: Age;
    RFC 7234: Warning).

    remember -- told of the entry and the encoding that it led to
    """
    age: Headers = ()
    try:
        answer = await answers.get(question)
    except (DatabaseUnavailableError, ClientBusyError, OverloadedError):
        stale = answers.stale_answer(question)
        if stale is None:
            raise
        answer, age_s = stale
        age = ((b"age", b"%d" % age_s), (b"warning", b'111 - "Revalidation Failed"'))
    if isinstance(answer, Streamed):
        return _stream(answer, accepted, if_none_match)
    encoding = choose_encoding(accepted, is_small=answer.is_small)
    variant = await answers.variant(question, answer, encoding)
    entry = answers.find(question)
    if entry is not None and not age:
        remember(entry, encoding)
    if is_unchanged(if_none_match, variant):
        return Reply(304, (*variant.unchanged_headers, *age), b"")
    return Reply(200, (*variant.headers, *age), variant.body)


class Replies:
    """Responses to the questions of all routes.

    remember -- told of each way of asking, with the entry and the encoding that it leads to
    """

    def __init__(self, answers: AnswerCache, remember: Remember | None = None) -> None:
        self._answers = answers
        self._remember = remember

    async def reply(self, request: Request, question: CachedQuery, *, by_target: bool = True) -> Response:
        """200 with the answer, or 304. Raises the Refusal that the question ends in.

        by_target -- whether nothing but the request's target and Accept-Encoding decided on the answer
        """
        accepted = ", ".join(request.headers.getlist("accept-encoding"))
        remember = _nothing
        if self._remember and by_target:
            remember = partial(self._remember, request.scope, accepted)
        reply = await find_reply(
            self._answers,
            question,
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
    """Whether a reader with these entity tags, or `*`, has the variant already."""
    return if_none_match.strip() == "*" or variant.etag.decode() in _ETAG.findall(if_none_match)
