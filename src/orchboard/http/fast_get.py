"""Queries on the fast path: answered from the answer cache, or computed through it. See `fast_path.py`."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec import Struct
from starlette.responses import Response
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from orchboard import limits
from orchboard.answers.answer import Answer, Reply, Streamed, Variant, header_lines
from orchboard.answers.cache import AnswerCache, Entry
from orchboard.answers.replies import MADE, StreamedResponse
from orchboard.api.endpoint import QueryHandler
from orchboard.api.params import Params
from orchboard.api.refusals import STOPPING
from orchboard.api.request_counters import BOUNDS_S, RequestCounters, RouteCounters
from orchboard.api.routes import ROUTES
from orchboard.api.trusted_proxies import Proxies
from orchboard.http.access_log import AccessLog, Outcome, RequestIds
from orchboard.http.fast_path import Connection, PendingRequest, refuse
from orchboard.http.request_parsing import ACCEPT_ENCODING, BODY, IF_NONE_MATCH, RequestReader
from orchboard.leaderboard import Leaderboard
from orchboard.store.postgres.admission import set_client

_QUERY_HANDLERS = {
    endpoint.path.encode(): endpoint.query
    for endpoint in ROUTES
    if endpoint.query is not None and endpoint.path == endpoint.example_path
}

# Nearly every hit is in the first bucket, which is looked at first.
_FIRST_BOUND_S = BOUNDS_S[0]


class CachedRoute:
    """Where a GET leads: to an entry of the answer cache, in one encoding.

    The answer itself belongs to the entry alone, so what the answer cache evicts is freed.

    route, path -- for the access log
    head -- of the entry's 200, from the end of the request id to the body
    hits, unchanged -- see RouteCounters
    """

    __slots__ = (
        "_etag",
        "_is_small",
        "_outcomes",
        "_path",
        "_route",
        "encoding",
        "entry",
        "head",
        "hits",
        "unchanged",
    )

    def __init__(
        self, entry: Entry, encoding: str, is_small: bool, route: str, path: str, counters: RouteCounters
    ) -> None:
        self.entry = entry
        self.encoding = encoding
        self.hits = counters.hits
        self.unchanged = counters.unchanged
        self.head = b""
        self._is_small = is_small
        self._route = route
        self._path = path
        self._etag = b""
        self._outcomes: dict[tuple[bytes, int], Outcome] = {}

    def variant_of(self, answer: Answer | Streamed) -> Variant | None:
        """The answer in the route's encoding; None when it was not encoded yet, another encoding may be right now, or it is streamed."""
        if isinstance(answer, Streamed):
            return None
        variant = answer.made(self.encoding)
        if variant is None or answer.is_small is not self._is_small:
            return None
        if variant.etag is not self._etag:
            self._etag = variant.etag
            self.head = header_lines(variant.headers) + b"\r\n"
            self._outcomes.clear()
        return variant

    def outcome(self, method: bytes, status: int, size: int) -> Outcome:
        """The fields of the access log."""
        known = self._outcomes.get((method, status))
        if known is None:
            known = Outcome.of(method.decode(), self._route, self._path, status, size)
            self._outcomes[method, status] = known
        return known


class RouteCache:
    """The routes that one process has cached.

    by_request -- from a whole request, byte for byte, to the route, the method and If-None-Match
    by_target -- from target and Accept-Encoding to the route
    """

    def __init__(self, counters: RequestCounters) -> None:
        self._counters = counters
        self.by_target: dict[tuple[bytes, bytes], CachedRoute] = {}
        self.by_request: dict[bytes, tuple[CachedRoute, bytes, bytes | None]] = {}

    def add(
        self, target: bytes, accept_encoding: bytes, entry: Entry, encoding: str, *, route: str, path: str
    ) -> None:
        """Cache the route of a target. route, path -- for the access log"""
        if (
            not isinstance(entry.answer, Answer)
            or len(target) + len(accept_encoding) > limits.MAX_CACHED_TARGET_BYTES
        ):
            return
        if len(self.by_target) >= limits.MAX_CACHED_ROUTES:
            self.by_target.clear()
        self.by_target[target, accept_encoding] = CachedRoute(
            entry, encoding, entry.answer.is_small, route, path, self._counters.of(route)
        )

    def add_scope(self, scope: Scope, accept_encoding: str, entry: Entry, encoding: str) -> None:
        """Cache the route of an ASGI request."""
        if target := scope.get("raw_path") or b"":
            if scope["query_string"]:
                target += b"?" + scope["query_string"]
            route = getattr(scope.get("route"), "path", "-")
            accepted = accept_encoding.encode("latin-1")
            self.add(target, accepted, entry, encoding, route=route, path=scope["path"])

    def add_raw(self, request: bytes, route: CachedRoute, method: bytes, if_none_match: bytes | None) -> None:
        """Cache the route of a whole request."""
        if len(request) <= limits.MAX_CACHED_REQUEST_BYTES:
            if len(self.by_request) >= limits.MAX_CACHED_REQUESTS:
                self.by_request.clear()
            self.by_request[request] = route, method, if_none_match


RawHeaders = list[tuple[bytes, bytes]]


class PendingGet(PendingRequest):
    """A query whose answer is being computed.

    method -- GET or HEAD; path -- of the target, which is as received; client -- the client's address
    headers -- as received
    """

    def __init__(self, method: bytes, path: str, target: bytes, client: str, headers: RawHeaders) -> None:
        self.began_at = time.monotonic()
        self.method = method
        self.path = path
        self.target = target
        self.client = client
        self.headers = headers

    def scope(self, response: Response) -> dict[str, Any]:
        """What an ASGI scope has of the request, with the response to it."""
        path, _, query = self.target.partition(b"?")
        return {"method": self.method.decode(), "path": self.path, "raw_path": path, "query_string": query,
                "headers": self.headers, MADE: response}  # fmt: skip


class GetServices(Struct, frozen=True):
    """What the queries of one process share."""

    cache: AnswerCache
    routes: RouteCache
    board: Leaderboard
    proxies: Proxies
    access_log: AccessLog
    request_ids: RequestIds
    counters: RequestCounters


class FastGets:
    """The queries of one connection.

    answered -- the route of the current request, its method and If-None-Match, if it was answered from the cache
    """

    def __init__(
        self,
        services: GetServices,
        connection: Connection,
        reader: RequestReader,
        server_state: ServerState,
        client: tuple[str, int] | None,
    ) -> None:
        self._services = services
        self._connection = connection
        self._reader = reader
        self._server_state = server_state
        self._client = client
        self._is_proxied = client is not None and services.proxies.is_ours(client[0])
        self.answered: tuple[CachedRoute, bytes, bytes | None] | None = None

    def begin_by_bytes(self, data: bytes) -> bool:
        """Answer a request that is known by its bytes; False when the parser is to read it."""
        self.answered = None
        known = self._services.routes.by_request.get(data)
        return known is not None and self._answer_from_cache(*known)

    def begin(self, method: bytes) -> bool:
        """Begin to answer the request whose head was parsed; False when ASGI is to do it."""
        url, fields = self._reader.url, self._reader.fields
        if method not in (b"GET", b"HEAD") or not BODY.isdisjoint(fields):
            return False
        route = self._services.routes.by_target.get((url, fields.get(ACCEPT_ENCODING, b"")))
        if route is not None and self._answer_from_cache(route, method, fields.get(IF_NONE_MATCH)):
            return True
        return self._begin_query(method, url)

    def _answer_from_cache(self, route: CachedRoute, method: bytes, if_none_match: bytes | None) -> bool:
        """Answer at once; False when the cached answer is not valid, or it takes more than memory."""
        services, now = self._services, time.monotonic()
        answer = route.entry.answer
        if answer is None or not services.cache.is_valid(route.entry, now):
            return False
        variant, body = route.variant_of(answer), b""
        if variant is None:
            return False
        if if_none_match is None:
            status, line, rest, counts = 200, b"HTTP/1.1 200 OK\r\n", route.head, route.hits
            if method == b"GET":
                body = variant.body
        elif if_none_match == variant.etag:
            status, line, counts = 304, STATUS_LINE[304], route.unchanged
            rest = header_lines(variant.unchanged_headers) + b"\r\n"
        else:
            return False
        ids = services.request_ids
        number = ids.begin_answer(self._server_state.default_headers)
        took_s = time.monotonic() - now
        counts[0 if took_s <= _FIRST_BOUND_S else bisect_left(BOUNDS_S, took_s)] += 1
        counts[-1] += took_s
        if services.access_log.is_on:
            outcome = route.outcome(method, status, len(body))
            services.access_log.write(outcome, ids.text(number), took_s * 1000)
        self.answered = route, method, if_none_match
        self._connection.write((b"%b%b%06x\r\n%b" % (line, ids.first_lines, number, rest), body))
        return True

    def _begin_query(self, method: bytes, target: bytes) -> bool:
        """Begin to find an answer; False when ASGI is to do it."""
        path, _, query = target.partition(b"?")
        handler = _QUERY_HANDLERS.get(path)
        if handler is None or len(target) > limits.MAX_FAST_PATH_TARGET_BYTES or b"#" in query:
            return False
        client = self._client[0] if self._client else ""
        if self._is_proxied:
            scope = {"client": self._client, "headers": self._reader.headers}
            client = self._services.proxies.client_of(scope)
        get = PendingGet(method, path.decode(), target, client, self._reader.headers)
        reply = asyncio.create_task(self._find(handler, get, query, self._reader.fields))
        self._connection.begin(get)
        self._server_state.tasks.add(reply)  # type: ignore[arg-type] # a server that shuts down waits for it
        reply.add_done_callback(partial(self._finish, get))
        return True

    async def _find(
        self, handler: QueryHandler, get: PendingGet, query: bytes, fields: Mapping[bytes, bytes]
    ) -> Reply:
        services, path = self._services, get.path
        set_client(get.client)
        accept_encoding = fields.get(ACCEPT_ENCODING, b"")

        def remember(entry: Entry, encoding: str) -> None:
            services.routes.add(get.target, accept_encoding, entry, encoding, route=path, path=path)

        return await services.cache.reply(
            handler(Params(query), services.board),
            accept_encoding=accept_encoding.decode("latin-1"),
            if_none_match=fields.get(IF_NONE_MATCH, b"").decode("latin-1"),
            remember=remember,
        )

    def _finish(self, get: PendingGet, reply: "asyncio.Task[Reply]") -> None:
        """Answer a query, whatever the connection has received since."""
        self._server_state.tasks.discard(reply)
        if not reply.cancelled() and reply.exception() is None:
            _, headers, body = reply.result()
            if not isinstance(body, bytes):
                self._connection.stream(get, get.scope(StreamedResponse(headers, body)))
                return
        self._connection.finish(get, self._answer(get, reply))

    def _answer(self, get: PendingGet, reply: "asyncio.Task[Reply]") -> tuple[bytes, bytes]:
        """Head and body of the answer, from the task that has ended; logged."""
        ids, access_log = self._services.request_ids, self._services.access_log
        number, refused = ids.begin_answer(self._server_state.default_headers), ""
        error = STOPPING if reply.cancelled() else reply.exception()
        if error is None:
            status, headers, body = reply.result()
            assert isinstance(body, bytes)  # noqa: S101 - streamed answers are those of ASGI
        else:
            status, headers, body, refused = refuse(error, ids.text(number))
        if get.method == b"HEAD":
            body = b""
        took_s = time.monotonic() - get.began_at
        self._services.counters.of(get.path).count(status, took_s)
        if access_log.is_on:
            outcome = Outcome.of(get.method.decode(), get.path, get.path, status, len(body))
            access_log.write(outcome, ids.text(number), took_s * 1000, refused)
        first = STATUS_LINE[status] + (b"" if get.keep_alive else b"connection: close\r\n")
        return b"%b%b%06x\r\n%b\r\n" % (first, ids.first_lines, number, header_lines(headers)), body
