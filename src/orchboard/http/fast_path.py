"""The fast path: answers to frequent requests without an ASGI scope, a router or a response object.

It takes these requests, each of HTTP/1.1 on a connection that stays open, and sends every other one to ASGI:

- GET and HEAD, without a body, of the path of a cached route that is never streamed, as `ROUTES` writes it, with a target of
  at most 4,096 bytes and without a fragment;
- GET and HEAD, without a body, of any target that ASGI has answered through the cache before, with the same Accept-Encoding,
  while the cached answer is valid, and If-None-Match is absent or equals its ETag;
- POST of /api/post_stats with a body within the limit, whose signature is valid and can be verified without a database
  query.

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
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from msgspec import Struct
from uvicorn.server import ServerState

from orchboard import limits
from orchboard.answers.cache import AnswerCache, Entry
from orchboard.answers.replies import Reply, find_reply
from orchboard.api.endpoint import QueryHandler
from orchboard.api.params import Params
from orchboard.api.post_stats import PostStats, parse_length
from orchboard.api.routes import ROUTES
from orchboard.api.trusted_proxies import Proxies
from orchboard.http.fast_answers import POST_PATH, FastAnswers, PendingGet, PendingPost, PendingRequest
from orchboard.http.head_template import HeadTemplate
from orchboard.http.request_parsing import (
    ACCEPT_ENCODING,
    BODY,
    CONTENT_LENGTH,
    IF_NONE_MATCH,
    RequestReader,
)
from orchboard.http.route_cache import CachedRoute, RouteCache
from orchboard.leaderboard import Leaderboard
from orchboard.store.postgres.admission import set_client

_POST_TARGET = POST_PATH.encode()

_QUERY_HANDLERS = {
    endpoint.path.encode(): endpoint.query
    for endpoint in ROUTES
    if endpoint.query is not None and not endpoint.may_be_streamed
}


# A connection has its head template from the second result on.
_POSTS_BEFORE_TEMPLATE = 2


class FastPath(Struct, frozen=True):
    """What the connections of one process share."""

    cache: AnswerCache
    routes: RouteCache
    post_stats: PostStats
    board: Leaderboard
    answers: FastAnswers
    proxies: Proxies


class Connection(Protocol):
    """The connection whose requests the fast path answers."""

    def begin(self, request: PendingRequest) -> None:
        """Note a request as the newest one and as being answered."""

    def write(self, answer: Sequence[bytes]) -> None:
        """Write a whole answer to a request that was not begun."""

    def finish(self, request: PendingRequest, answer: Sequence[bytes]) -> None:
        """Write the whole answer to a request that was begun, and turn to the next request."""


class FastConnection:
    """The fast path of one connection.

    post -- the result that is being received, if one is
    answered -- the route of the current request, its method and If-None-Match, if it was answered from the cache
    """

    def __init__(
        self,
        shared: FastPath,
        connection: Connection,
        reader: RequestReader,
        server_state: ServerState,
        client: tuple[str, int] | None,
    ) -> None:
        self._shared = shared
        self._connection = connection
        self._reader = reader
        self._server_state = server_state
        self._client = client
        self._is_proxied = client is not None and shared.proxies.is_ours(client[0])
        self._template: HeadTemplate | None = None
        self._posts = 0
        self._is_post_begun = False
        self.post: PendingPost | None = None
        self.answered: tuple[CachedRoute, bytes, bytes | None] | None = None

    def begin_by_bytes(self, data: bytes) -> bool:
        """Begin to answer a request that is known by its bytes; False when the parser is to read it."""
        self.answered = None
        if self._template is None:
            known = self._shared.routes.by_request.get(data)
            return known is not None and self._answer_from_cache(*known)
        matched = self._template.match(data)
        if matched is None or len(matched[1]) > self._shared.post_stats.max_body_bytes:
            return False
        headers, body = matched
        stored = self._shared.post_stats.begin(body, headers)
        if stored is None:
            return False
        post = PendingPost()
        post.more_body = False
        self._connection.begin(post)
        self._acknowledge_when_stored(post, stored)
        return True

    def learn(self, request: bytes) -> None:
        """Know the next request like the current one by its bytes. request -- the current one, whole"""
        if self.answered is not None:
            self._shared.routes.add_raw(request, *self.answered)
        elif self._is_post_begun and self._posts == _POSTS_BEFORE_TEMPLATE:
            self._template = HeadTemplate.learn(request)

    def begin(self, *, is_free: bool) -> bool:
        """Begin to answer the request whose head was parsed; False when ASGI is to do it.

        is_free -- whether no other request of the connection is being answered, and it can be written to
        """
        reader, shared = self._reader, self._shared
        self.answered, self._is_post_begun = None, False
        if not is_free or reader.is_unusual or not reader.keeps_alive:
            return False
        method: bytes = reader.parser.get_method()
        if method == b"POST":
            length = parse_length(reader.fields.get(CONTENT_LENGTH, b"0").decode("latin-1"))
            if reader.url != _POST_TARGET or length > shared.post_stats.max_body_bytes:
                return False
            self.post = PendingPost()
            self._connection.begin(self.post)
            return True
        if method not in (b"GET", b"HEAD") or not BODY.isdisjoint(reader.fields):
            return False
        route = shared.routes.by_target.get((reader.url, reader.fields.get(ACCEPT_ENCODING, b"")))
        if route is not None and self._answer_from_cache(route, method, reader.fields.get(IF_NONE_MATCH)):
            return True
        return self._begin_query(method, reader.url)

    def _answer_from_cache(self, route: CachedRoute, method: bytes, if_none_match: bytes | None) -> bool:
        """Answer at once; False when the cached answer is not valid, or it takes more than memory."""
        shared, now = self._shared, time.monotonic()
        if not shared.cache.is_valid(route.entry, now):
            return False
        headers = self._server_state.default_headers
        answer = shared.answers.cached(route, method, if_none_match, headers, now)
        if answer is None:
            return False
        self.answered = route, method, if_none_match
        self._connection.write(answer)
        return True

    def _begin_query(self, method: bytes, target: bytes) -> bool:
        """Begin to find an answer; False when ASGI is to do it."""
        path, _, query = target.partition(b"?")
        handler = _QUERY_HANDLERS.get(path)
        if handler is None or len(target) > limits.MAX_FAST_PATH_TARGET_BYTES or b"#" in query:
            return False
        client = self._client[0] if self._client else ""
        if self._is_proxied:
            client = self._shared.proxies.client_of({"client": self._client, "headers": self._reader.headers})
        get = PendingGet(method, path.decode(), target, client)
        reply = asyncio.create_task(self._find(handler, get, query, self._reader.fields))
        self._connection.begin(get)
        self._server_state.tasks.add(reply)  # type: ignore[arg-type] # a server that shuts down waits for it
        reply.add_done_callback(partial(self._finish_get, get))
        return True

    async def _find(
        self, handler: QueryHandler, get: PendingGet, query: bytes, fields: Mapping[bytes, bytes]
    ) -> Reply:
        shared, path = self._shared, get.path
        set_client(get.client)
        accept_encoding = fields.get(ACCEPT_ENCODING, b"")

        def remember(entry: Entry, encoding: str) -> None:
            shared.routes.add(get.target, accept_encoding, entry, encoding, route=path, path=path)

        return await find_reply(
            shared.cache,
            handler(Params(query), shared.board),
            accepted=accept_encoding.decode("latin-1"),
            if_none_match=fields.get(IF_NONE_MATCH, b"").decode("latin-1"),
            remember=remember,
        )

    def _finish_get(self, get: PendingGet, reply: "asyncio.Task[Reply]") -> None:
        """Answer a query, whatever the connection has received since."""
        state = self._server_state
        state.tasks.discard(reply)
        self._connection.finish(get, self._shared.answers.computed(get, reply, state.default_headers))

    def add_body(self, body: bytes) -> bool:
        """Add to the result that is being received; False when it exceeds the limit."""
        assert self.post is not None  # noqa: S101 - the caller has checked
        self.post.body += body
        return len(self.post.body) <= self._shared.post_stats.max_body_bytes

    def end_post(self) -> bool:
        """Begin to store the result that was received; False when ASGI is to do it: then nothing was begun."""
        post = self.post
        assert post is not None  # noqa: S101 - the caller has checked
        stored = self._shared.post_stats.begin(bytes(post.body), self._reader.fields)
        if stored is None:
            return False
        self.post = None
        self._posts += 1
        self._is_post_begun = True
        post.body.clear()
        self._acknowledge_when_stored(post, stored)
        return True

    def _acknowledge_when_stored(self, post: PendingPost, stored: "asyncio.Future[Any]") -> None:
        post.more_body = False
        self._server_state.tasks.add(stored)  # type: ignore[arg-type] # as in _begin_query
        stored.add_done_callback(partial(self._finish_post, post))

    def _finish_post(self, post: PendingPost, stored: "asyncio.Future[Any]") -> None:
        """Answer a result, whatever the connection has received since."""
        state = self._server_state
        state.tasks.discard(stored)
        self._connection.finish(post, (self._shared.answers.stored(post, stored, state.default_headers),))

    def log_disconnect(self) -> None:
        """Log the result that was being received when the client disconnected."""
        if self.post is not None:
            self._shared.answers.log_disconnect(self.post)
