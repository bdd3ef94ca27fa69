"""The requests that the fast path is answering, and their answers as bytes, each with its line in the access log."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from orchboard.answers.answer import Headers, header_lines
from orchboard.answers.replies import Reply
from orchboard.api.refusals import STOPPING, error_response, refusal_response
from orchboard.api.responses import ok
from orchboard.errors import Refusal
from orchboard.http.access_log import AccessLog, Outcome, RequestIds
from orchboard.http.route_cache import CachedRoute

log = structlog.get_logger(__name__)

POST_PATH = "/api/post_stats"


class PendingRequest:
    """A request without an ASGI task, in the form of uvicorn's RequestResponseCycle.

    began_at -- on time.monotonic's clock
    more_body -- whether the body is not complete yet
    """

    # uvicorn sets it when the client disconnects; nothing waits for it.
    message_event = asyncio.Event()
    keep_alive = True
    more_body = False
    response_started = False
    response_complete = False
    disconnected = False

    def __init__(self) -> None:
        self.began_at = time.monotonic()


class PendingPost(PendingRequest):
    """A result that is being received or stored."""

    more_body = True

    def __init__(self) -> None:
        super().__init__()
        self.body = bytearray()


class PendingGet(PendingRequest):
    """A query whose answer is being computed.

    method -- GET or HEAD; path -- of the target, which is as received; client -- the client's address
    """

    def __init__(self, method: bytes, path: str, target: bytes, client: str) -> None:
        super().__init__()
        self.method = method
        self.path = path
        self.target = target
        self.client = client


class FastAnswers:
    """Makes the answers of one process's fast path.

    server_headers -- what uvicorn adds to each answer: another list each second, as the date is one of them
    """

    def __init__(self, access_log: AccessLog, request_ids: RequestIds) -> None:
        self._log = access_log
        self._ids = request_ids
        self._stored = Outcome.of("POST", POST_PATH, POST_PATH, 200, 2)
        self._acknowledgement = header_lines(tuple(ok().raw_headers)) + b"\r\nok"
        self._server_headers: Sequence[tuple[bytes, bytes]] = ()
        self._first_lines = b""

    def cached(
        self,
        route: CachedRoute,
        method: bytes,
        if_none_match: bytes | None,
        server_headers: Sequence[tuple[bytes, bytes]],
        began_at: float,
    ) -> tuple[bytes, bytes] | None:
        """Head and body of a route's cached answer, which is valid; None when it takes more than memory.

        began_at -- on time.monotonic's clock
        """
        answer = route.entry.answer
        variant = None if answer is None else route.variant_of(answer)
        if variant is None:
            return None
        body = b""
        if if_none_match is None:
            status, line, rest = 200, b"HTTP/1.1 200 OK\r\n", route.head
            if method == b"GET":
                body = variant.body
        elif if_none_match == variant.etag:
            status, line = 304, STATUS_LINE[304]
            rest = header_lines(variant.unchanged_headers) + b"\r\n"
        else:
            return None
        if server_headers is not self._server_headers:
            self._renew(server_headers)
        number = self._ids.next_number()
        if self._log.is_on:
            outcome = route.outcome(method, status, len(body))
            self._log.write(outcome, self._ids.text(number), (time.monotonic() - began_at) * 1000)
        return b"%b%b%06x\r\n%b" % (line, self._first_lines, number, rest), body

    def computed(
        self, get: PendingGet, reply: "asyncio.Task[Reply]", server_headers: Sequence[tuple[bytes, bytes]]
    ) -> tuple[bytes, bytes]:
        """Head and body of the answer to a query, from the task that has ended."""
        number, refused = self._ids.next_number(), ""
        error = STOPPING if reply.cancelled() else reply.exception()
        if error is None:
            status, headers, body = reply.result()
            assert isinstance(body, bytes)  # noqa: S101 - streamed answers are those of ASGI
        else:
            status, headers, body, refused = self._refuse(error, number)
        if get.method == b"HEAD":
            body = b""
        if self._log.is_on:
            outcome = Outcome.of(get.method.decode(), get.path, get.path, status, len(body))
            self._log.write(outcome, self._ids.text(number), _ms_since(get), refused)
        first = STATUS_LINE[status] + self._lines_for(get, server_headers)
        return b"%b%06x\r\n%b\r\n" % (first, number, header_lines(headers)), body

    def stored(
        self, post: PendingPost, stored: "asyncio.Future[Any]", server_headers: Sequence[tuple[bytes, bytes]]
    ) -> bytes:
        """The whole answer to a result, from the future that has ended."""
        number, refused = self._ids.next_number(), ""
        error = STOPPING if stored.cancelled() else stored.exception()
        if error is None:
            outcome, rest = self._stored, self._acknowledgement
        else:
            status, headers, body, refused = self._refuse(error, number)
            outcome = Outcome.of("POST", POST_PATH, POST_PATH, status, len(body))
            rest = header_lines(headers) + b"\r\n" + body
        if self._log.is_on:
            self._log.write(outcome, self._ids.text(number), _ms_since(post), refused)
        first = STATUS_LINE[outcome.status] + self._lines_for(post, server_headers)
        return b"%b%06x\r\n%b" % (first, number, rest)

    def log_disconnect(self, post: PendingPost) -> None:
        """Log a result whose client disconnected before it was complete, as ASGI does."""
        self._log.write(Outcome.of("POST", POST_PATH, POST_PATH, 499, 0), self._ids.next(), _ms_since(post))

    def _lines_for(self, request: PendingRequest, server_headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """The first headers of an answer, up to the end of the request id."""
        if server_headers is not self._server_headers:
            self._renew(server_headers)
        return self._first_lines if request.keep_alive else b"connection: close\r\n" + self._first_lines

    def _renew(self, server_headers: Sequence[tuple[bytes, bytes]]) -> None:
        self._server_headers = server_headers
        lines = header_lines(tuple(server_headers))
        self._first_lines = lines + b"x-request-id: " + self._ids.start.encode()

    def _refuse(self, error: BaseException, number: int) -> tuple[int, Headers, bytes, str]:
        """Status, headers and body of the answer to a failed request, and the reason for its log line."""
        if isinstance(error, Refusal):
            response, logged = refusal_response(error), str(error)
        else:
            log.error("fault", request_id=self._ids.text(number), exc_info=error)
            response, logged = error_response(500, "internal error"), ""
        return response.status_code, tuple(response.raw_headers), bytes(response.body), logged


def _ms_since(request: PendingRequest) -> float:
    return (time.monotonic() - request.began_at) * 1000
