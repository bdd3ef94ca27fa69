"""Answers as HTTP responses: the encoding a reader takes, 304 for what he has, and how he asked for it."""

import re

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from orchboard.answers.answer import Headers, Variant
from orchboard.answers.cache import Answers, Entry
from orchboard.answers.encodings import choose_encoding
from orchboard.answers.question import Question

# The ways of asking that are remembered, and how long one may be.
_TARGETS = 4096
_TARGET_BYTES = 1024

_ETAG = re.compile(r'(?:W/)?("[^"]*")')


class Known(Struct, frozen=True):
    """What a way of asking leads to.

    route, path -- for its line in the log
    """

    entry: Entry
    encoding: str
    route: str
    path: str


class Replies:
    """Responses to the questions of all routes."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self._known: dict[tuple[bytes, bytes], Known] = {}

    async def reply(self, request: Request, question: Question, *, by_target: bool = True) -> Response:
        """200 with the answer, or 304. Raises the Refusal that the question ends in.

        by_target -- whether nothing but the request's target and Accept-Encoding decided on the answer
        """
        answer = await self.answers.get(question)
        accepted = ", ".join(request.headers.getlist("accept-encoding"))
        encoding = choose_encoding(accepted, is_small=answer.is_small)
        variant = await self.answers.variant(question, answer, encoding)
        if by_target:
            self._remember(request, accepted, question, encoding)
        if is_unchanged(", ".join(request.headers.getlist("if-none-match")), variant):
            return _response(304, b"", variant.unchanged_headers)
        return _response(200, variant.body, variant.headers)

    def find(self, target: bytes, accept_encoding: bytes) -> Known | None:
        """What a request's target and Accept-Encoding led to before, None when that is not known."""
        return self._known.get((target, accept_encoding))

    def _remember(self, request: Request, accepted: str, question: Question, encoding: str) -> None:
        query, target = request.scope["query_string"], request.scope.get("raw_path") or b""
        if query:
            target += b"?" + query
        entry = self.answers.find(question)
        if entry is None or not target or len(target) + len(accepted) > _TARGET_BYTES:
            return
        if len(self._known) >= _TARGETS:
            self._known.clear()
        path = request.scope["path"]
        route = getattr(request.scope.get("route"), "path", "-")
        self._known[target, accepted.encode("latin-1")] = Known(entry, encoding, route, path)


def is_unchanged(if_none_match: str, variant: Variant) -> bool:
    """Whether a reader with these entity tags, or `*`, has the variant already."""
    return if_none_match.strip() == "*" or variant.etag.decode() in _ETAG.findall(if_none_match)


def _response(status: int, body: bytes, headers: Headers) -> Response:
    response = Response(body, status)
    response.raw_headers = list(headers)
    return response
