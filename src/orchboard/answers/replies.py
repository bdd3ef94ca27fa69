"""Answers as HTTP responses: the encoding a reader takes, 304 for what he has."""

import re
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from orchboard.answers.answer import Answer, Headers, Variant
from orchboard.answers.cache import Answers, Entry
from orchboard.answers.encodings import choose_encoding
from orchboard.answers.question import Question
from orchboard.errors import DatabaseUnavailableError

Remember = Callable[[Scope, str, Entry, str], None]
"""Given a request's scope and its Accept-Encoding."""

_ETAG = re.compile(r'(?:W/)?("[^"]*")')


class Replies:
    """Responses to the questions of all routes.

    remember -- told of each way of asking, with the entry and the encoding that it leads to
    """

    def __init__(self, answers: Answers, remember: Remember | None = None) -> None:
        self._answers = answers
        self._remember = remember

    async def reply(self, request: Request, question: Question, *, by_target: bool = True) -> Response:
        """200 with the answer, or 304. Raises the Refusal that the question ends in.

        While the database is away: the last answer that was given, with its age.

        by_target -- whether nothing but the request's target and Accept-Encoding decided on the answer
        """
        accepted = ", ".join(request.headers.getlist("accept-encoding"))
        try:
            answer = await self._answers.get(question)
        except DatabaseUnavailableError:
            stale = self._answers.last_good(question)
            if stale is None:
                raise
            return await self._stale_reply(request, question, *stale)
        encoding = choose_encoding(accepted, is_small=answer.is_small)
        variant = await self._answers.variant(question, answer, encoding)
        entry = self._answers.find(question)
        if self._remember and by_target and entry is not None:
            self._remember(request.scope, accepted, entry, encoding)
        return _reply(request, variant)

    async def _stale_reply(
        self, request: Request, question: Question, answer: Answer, age_s: float
    ) -> Response:
        """The same with an answer from before, which says so (RFC 9111: Age; RFC 7234: Warning)."""
        accepted = ", ".join(request.headers.getlist("accept-encoding"))
        encoding = choose_encoding(accepted, is_small=answer.is_small)
        response = _reply(request, await self._answers.variant(question, answer, encoding))
        response.headers["Age"] = str(int(age_s))
        response.headers["Warning"] = '111 - "Revalidation Failed"'
        return response


def _reply(request: Request, variant: Variant) -> Response:
    if is_unchanged(", ".join(request.headers.getlist("if-none-match")), variant):
        return _response(304, b"", variant.unchanged_headers)
    return _response(200, variant.body, variant.headers)


def is_unchanged(if_none_match: str, variant: Variant) -> bool:
    """Whether a reader with these entity tags, or `*`, has the variant already."""
    return if_none_match.strip() == "*" or variant.etag.decode() in _ETAG.findall(if_none_match)


def _response(status: int, body: bytes, headers: Headers) -> Response:
    response = Response(body, status)
    response.raw_headers = list(headers)
    return response
