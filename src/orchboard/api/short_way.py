"""The short way: answers that are known, and results, without ASGI, a router or a task between."""

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from starlette.responses import Response
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from orchboard.answers.answer import Answer, Headers, Variant
from orchboard.answers.cache import Answers, Entry
from orchboard.answers.replies import Reply, find_reply
from orchboard.api.access_log import AccessLog, Outcome, RequestIds
from orchboard.api.endpoint import Asker
from orchboard.api.exchange import Asking
from orchboard.api.params import Params
from orchboard.api.post_stats import PostStats
from orchboard.api.refusals import error_response, refusal_response
from orchboard.api.responses import ok
from orchboard.errors import DatabaseUnavailableError, Refusal
from orchboard.leaderboard import Leaderboard

log = structlog.get_logger(__name__)

# The ways of asking that are remembered, and how long one may be.
_TARGETS = 4096
_TARGET_BYTES = 1024

# The requests that are recognised as they stand, and how long one may be.
_REQUESTS = 2048
_REQUEST_BYTES = 1024

# Said of a result that the server could not wait for when it stopped.
_STOPPED = DatabaseUnavailableError("the server is stopping; try again")

POST_TARGET = b"/api/post_stats"


class Known:
    """A way of asking: where it leads, and the head of the answer that it led to last.

    The answer itself is its entry's alone: whatever leaves the cache is gone.

    head -- of that answer's 200, from behind the request id to the body
    """

    __slots__ = ("_etag", "_is_small", "_outcomes", "_path", "_route", "encoding", "entry", "head")

    def __init__(self, entry: Entry, encoding: str, is_small: bool, route: str, path: str) -> None:
        self.entry = entry
        self.encoding = encoding
        self.head = b""
        self._is_small = is_small
        self._route = route
        self._path = path
        self._etag = b""
        self._outcomes: dict[tuple[bytes, int], Outcome] = {}

    def variant_of(self, answer: Answer) -> Variant | None:
        """An answer as it goes out here; None when that takes more than memory."""
        variant = answer.made(self.encoding)
        if variant is None or answer.is_small is not self._is_small:
            return None
        if variant.etag is not self._etag:
            self._etag = variant.etag
            self.head = header_lines(variant.headers) + b"\r\n"
            self._outcomes.clear()
        return variant

    def outcome(self, method: bytes, status: int, size: int) -> Outcome:
        """For the log."""
        known = self._outcomes.get((method, status))
        if known is None:
            known = Outcome.of(method.decode(), self._route, self._path, status, size)
            self._outcomes[method, status] = known
        return known


class ShortWay:
    """What the connections of one process share.

    requests -- whole requests, byte for byte, with what parsing them led to: what to answer, method, If-None-Match
    max_body_bytes -- of a result
    """

    def __init__(
        self,
        answers: Answers,
        post_stats: PostStats,
        board: Leaderboard,
        access_log: AccessLog,
        request_ids: RequestIds,
        askers: Mapping[str, Asker],
    ) -> None:
        self._answers = answers
        self._askers = {path.encode(): ask for path, ask in askers.items()}
        self._post_stats = post_stats
        self._board = board
        self._log = access_log
        self._ids = request_ids
        self._known: dict[tuple[bytes, bytes], Known] = {}
        self.requests: dict[bytes, tuple[Known, bytes, bytes | None]] = {}
        self._stored = Outcome.of("POST", POST_TARGET.decode(), POST_TARGET.decode(), 200, 2)
        self._acknowledgement = header_lines(tuple(ok().raw_headers)) + b"\r\nok"
        self.max_body_bytes = post_stats.max_body_bytes

    def remember(self, scope: Scope, accepted: str, entry: Entry, encoding: str) -> None:
        """Keep in mind what a request led to."""
        if target := scope.get("raw_path") or b"":
            route = getattr(scope.get("route"), "path", "-")
            self._remember(
                target,
                scope["query_string"],
                accepted.encode("latin-1"),
                route,
                scope["path"],
                entry,
                encoding,
            )

    def _remember(
        self,
        path: bytes,
        query: bytes,
        accepted: bytes,
        route: str,
        logged_path: str,
        entry: Entry,
        encoding: str,
    ) -> None:
        target = b"%b?%b" % (path, query) if query else path
        if len(target) + len(accepted) > _TARGET_BYTES or entry.answer is None:
            return
        if len(self._known) >= _TARGETS:
            self._known.clear()
        self._known[target, accepted] = Known(entry, encoding, entry.answer.is_small, route, logged_path)

    def recognise(self, request: bytes, known: Known, method: bytes, if_none_match: bytes | None) -> None:
        """Spare the parser this request the next time."""
        if len(request) <= _REQUEST_BYTES:
            if len(self.requests) >= _REQUESTS:
                self.requests.clear()
            self.requests[request] = known, method, if_none_match

    def find(self, target: bytes, accept_encoding: bytes) -> Known | None:
        """What a way of asking led to, None when it is new."""
        return self._known.get((target, accept_encoding))

    def answer(
        self, known: Known, method: bytes, if_none_match: bytes | None, preamble: bytes
    ) -> tuple[bytes, bytes] | None:
        """Head and body of the answer to a GET or HEAD, logged; None when it takes more to find it.

        preamble -- the headers that the server itself adds
        """
        began_at = time.monotonic()
        answer = known.entry.answer
        if answer is None or not self._answers.is_true(known.entry, began_at):
            return None
        variant = known.variant_of(answer)
        if variant is None:
            return None
        body = b""
        if if_none_match is None:
            status, line, rest = 200, b"HTTP/1.1 200 OK\r\n", known.head
            if method == b"GET":
                body = variant.body
        elif if_none_match == variant.etag:
            status, line = 304, STATUS_LINE[304]
            rest = header_lines(variant.unchanged_headers) + b"\r\n"
        else:
            return None
        request_id = self._ids.next()
        if self._log.is_on:
            outcome = known.outcome(method, status, len(body))
            self._log.write(outcome, request_id, (time.monotonic() - began_at) * 1000)
        return b"%b%bx-request-id: %b\r\n%b" % (line, preamble, request_id.encode(), rest), body

    def begin_question(self, asking: Asking, query: bytes, accepted: bytes) -> "asyncio.Task[Reply] | None":
        """Begin to find the answer to what a path and query ask; None when the application has to look at it."""
        ask = self._askers.get(asking.path)
        if ask is None or len(query) > _TARGET_BYTES or b"#" in query:
            return None
        return asyncio.create_task(self._find(ask, asking, query, accepted))

    async def _find(self, ask: Asker, asking: Asking, query: bytes, accepted: bytes) -> Reply:
        path = asking.path.decode()
        return await find_reply(
            self._answers,
            ask(Params(query), self._board),
            accepted=accepted.decode("latin-1"),
            if_none_match=asking.if_none_match.decode("latin-1"),
            remember=partial(self._remember, asking.path, query, accepted, path, path),
        )

    def reply(self, found: "asyncio.Task[Reply]", asking: Asking, preamble: bytes) -> tuple[bytes, bytes]:
        """Head and body of the answer to a question, from the task that has ended; logged."""
        request_id, refused = self._ids.next(), ""
        error = _STOPPED if found.cancelled() else found.exception()
        if error is None:
            status, headers, body = found.result()
        else:
            response = self._refuse(error, request_id)
            refused = str(error) if isinstance(error, Refusal) else ""
            status, headers, body = response.status_code, tuple(response.raw_headers), bytes(response.body)
        if asking.method == b"HEAD":
            body = b""
        if self._log.is_on:
            path = asking.path.decode()
            outcome = Outcome.of(asking.method.decode(), path, path, status, len(body))
            self._log.write(outcome, request_id, (time.monotonic() - asking.began_at) * 1000, refused)
        lines = header_lines(headers)
        head = b"%b%b%bx-request-id: %b\r\n\r\n" % (STATUS_LINE[status], preamble, lines, request_id.encode())
        return head, body

    def begin_post(self, body: bytes, headers: Mapping[bytes, bytes]) -> "asyncio.Future[Any] | None":
        """Begin to store a result; None when the application is to do it, or to say why not."""
        return self._post_stats.begin(body, headers, self._board)

    def acknowledge(self, stored: "asyncio.Future[Any]", began_at: float, preamble: bytes) -> bytes:
        """The whole answer to a result, from the future that has ended; logged.

        began_at -- on time.monotonic's clock
        """
        request_id, refused = self._ids.next(), ""
        error = _STOPPED if stored.cancelled() else stored.exception()
        if error is None:
            outcome, rest = self._stored, self._acknowledgement
        else:
            response = self._refuse(error, request_id)
            body = bytes(response.body)
            refused = str(error) if isinstance(error, Refusal) else ""
            path = self._stored.path
            outcome = Outcome.of("POST", path, path, response.status_code, len(body))
            rest = header_lines(tuple(response.raw_headers)) + b"\r\n" + body
        self._log.write(outcome, request_id, (time.monotonic() - began_at) * 1000, refused)
        return b"%b%bx-request-id: %b\r\n%b" % (
            STATUS_LINE[outcome.status],
            preamble,
            request_id.encode(),
            rest,
        )

    def note_lost(self, began_at: float) -> None:
        """Log a result whose sender left in the middle of it, as the application does."""
        path = self._stored.path
        outcome = Outcome.of("POST", path, path, 499, 0)
        self._log.write(outcome, self._ids.next(), (time.monotonic() - began_at) * 1000)

    def _refuse(self, error: BaseException, request_id: str) -> Response:
        if isinstance(error, Refusal):
            return refusal_response(error)
        log.error("fault", request_id=request_id, exc_info=error)
        return error_response(500, "internal error")


def header_lines(headers: Headers) -> bytes:
    """Headers as they are written, without the empty line behind them."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])
