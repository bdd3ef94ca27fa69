"""The fast path: answers to frequent requests without an ASGI scope, a router or a response object.

It takes these requests, each of HTTP/1.1 on a connection that stays open, and sends every other one to ASGI:

- GET and HEAD, without a body, of the path of a cached route that has no parameter in its path, as `ROUTES` writes it, with a
  target of at most 4,096 bytes and without a fragment (`fast_get.py`); an answer that is streamed is sent by ASGI;
- GET and HEAD, without a body, of any target that ASGI has answered through the cache before, with the same Accept-Encoding,
  while the cached answer is valid, and If-None-Match is absent or equals its ETag (`fast_get.py`);
- POST of /api/post_stats with a body within the limit, whose signature is valid and can be verified without a database
  query (`fast_post.py`).

A request also goes to ASGI when an earlier one of its connection is not answered yet, when the client is slow to read, when
the connection is being closed or the server shuts down, when Expect or Content-Encoding is sent, or a header of interest
twice (`request_parsing.py`), and with FAST_PATH=off.

It may assume: a GET's answer depends on nothing but its target and Accept-Encoding; the head of a request was checked by
`request_parsing.py`; a request that equals an earlier valid one byte for byte is valid; `AnswerCache.is_valid` tells whether
an answer may be given again. `tests/http/test_two_ways.py` compares its answers and log lines with those of ASGI.

Measured as processor time of the server for an answer (2 cores, 32 connections of wrk): recognising requests by their bytes
14 us, by target and Accept-Encoding 21, neither 53; posts by a head template 71, parsed 92.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog

from orchboard.answers.answer import Headers
from orchboard.api.refusals import error_response, refusal_response
from orchboard.errors import Refusal

log = structlog.get_logger(__name__)


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
    began_at: float


class Connection(Protocol):
    """The connection whose requests the fast path answers."""

    def begin(self, request: PendingRequest) -> None:
        """Note a request as the newest one and as being answered."""

    def write(self, answer: Sequence[bytes]) -> None:
        """Write a whole answer to a request that was not begun."""

    def finish(self, request: PendingRequest, answer: Sequence[bytes]) -> None:
        """Write the whole answer to a request that was begun, and turn to the next request."""

    def stream(self, request: PendingRequest, scope: Mapping[str, Any]) -> None:
        """Have ASGI answer a request that was begun, then turn to the next request. scope -- what is special to the request"""


def refuse(error: BaseException, request_id: str) -> tuple[int, Headers, bytes, str]:
    """Status, headers and body of the answer to a request that failed, and the reason for its line in the access log."""
    if isinstance(error, Refusal):
        response, logged = refusal_response(error), str(error)
    else:
        log.error("fault", request_id=request_id, exc_info=error)
        response, logged = error_response(500, "internal error"), ""
    return response.status_code, tuple(response.raw_headers), bytes(response.body), logged
