"""The fast path: questions and results without ASGI, a router or a response object between."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from orchboard.answers.answer import Headers
from orchboard.answers.cache import AnswerCache, Entry
from orchboard.answers.replies import Reply, find_reply
from orchboard.api.endpoint import QueryHandler
from orchboard.api.params import Params
from orchboard.api.post_stats import PostStats
from orchboard.api.refusals import error_response, refusal_response
from orchboard.api.responses import header_lines, ok
from orchboard.api.trusted_proxies import Proxies
from orchboard.errors import DatabaseUnavailableError, Refusal
from orchboard.http.access_log import AccessLog, Outcome, RequestIds
from orchboard.http.pending_request import PendingGet
from orchboard.http.route_cache import CachedRoute, RouteCache
from orchboard.leaderboard import Leaderboard
from orchboard.store.postgres.admission import set_client

log = structlog.get_logger(__name__)

# Said of what the server could not wait for when it stopped.
_STOPPED = DatabaseUnavailableError("the server is stopping; try again")

POST_TARGET = b"/api/post_stats"

# A longer target may be too long: the application knows.
_TARGET_BYTES = 4096


class FastPath:
    """What the connections of one process share.

    Each answer is logged as it is made. `preamble` is what its head has first: the headers that the server itself adds,
    and `request_id_line`, whose end is added here.

    askers -- by path, the questions that are answered here, none of which is streamed; all others are the application's
    known -- what was asked before
    max_body_bytes -- of a result
    """

    def __init__(
        self,
        answers: AnswerCache,
        post_stats: PostStats,
        board: Leaderboard,
        access_log: AccessLog,
        request_ids: RequestIds,
        askers: Mapping[str, QueryHandler],
        proxies: Proxies,
    ) -> None:
        self._answers = answers
        self._post_stats = post_stats
        self._board = board
        self._log = access_log
        self._ids = request_ids
        self._proxies = proxies
        self._askers = {path.encode(): ask for path, ask in askers.items()}
        self._stored = Outcome.of("POST", POST_TARGET.decode(), POST_TARGET.decode(), 200, 2)
        self._acknowledgement = header_lines(tuple(ok().raw_headers)) + b"\r\nok"
        self.request_id_line = b"x-request-id: " + request_ids.start.encode()
        self.known = RouteCache()
        self.max_body_bytes = post_stats.max_body_bytes

    def remember(self, scope: Scope, accepted: str, entry: Entry, encoding: str) -> None:
        """Keep in mind what the application made of a request."""
        if target := scope.get("raw_path") or b"":
            if scope["query_string"]:
                target += b"?" + scope["query_string"]
            route = getattr(scope.get("route"), "path", "-")
            accept_encoding = accepted.encode("latin-1")
            self.known.remember(target, accept_encoding, entry, encoding, route=route, path=scope["path"])

    def answer(
        self, known: CachedRoute, method: bytes, if_none_match: bytes | None, preamble: bytes
    ) -> tuple[bytes, bytes] | None:
        """Head and body of the answer to a GET or HEAD; None when it takes more to find it."""
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
        number = self._ids.next_number()
        if self._log.is_on:
            outcome = known.outcome(method, status, len(body))
            self._log.write(outcome, self._ids.text(number), (time.monotonic() - began_at) * 1000)
        return b"%b%b%06x\r\n%b" % (line, preamble, number, rest), body

    def begin_question(
        self,
        target: bytes,
        method: bytes,
        noted: Mapping[bytes, bytes],
        client: tuple[str, int] | None,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> "tuple[PendingGet, asyncio.Task[Reply]] | None":
        """Begin to find the answer to a GET or HEAD; None when that is the application's.

        noted -- the headers Accept-Encoding and If-None-Match, if they came
        client, headers -- the address that the connection is from, and all headers: they say who asks
        """
        path, _, query = target.partition(b"?")
        ask = self._askers.get(path)
        if ask is None or len(target) > _TARGET_BYTES or b"#" in query:
            return None
        asking = PendingGet(method, path.decode(), target)
        asking.client = self._proxies.client_of({"client": client, "headers": headers})
        return asking, asyncio.create_task(self._find(ask, asking, query, noted))

    async def _find(
        self, ask: QueryHandler, asking: PendingGet, query: bytes, noted: Mapping[bytes, bytes]
    ) -> Reply:
        set_client(asking.client)
        accept_encoding = noted.get(b"accept-encoding", b"")

        def remember(entry: Entry, encoding: str) -> None:
            path = asking.path
            self.known.remember(asking.target, accept_encoding, entry, encoding, route=path, path=path)

        return await find_reply(
            self._answers,
            ask(Params(query), self._board),
            accepted=accept_encoding.decode("latin-1"),
            if_none_match=noted.get(b"if-none-match", b"").decode("latin-1"),
            remember=remember,
        )

    def reply(self, asking: PendingGet, found: "asyncio.Task[Reply]", preamble: bytes) -> tuple[bytes, bytes]:
        """Head and body of the answer to a question, from the task that has ended."""
        number, refused = self._ids.next_number(), ""
        error = _STOPPED if found.cancelled() else found.exception()
        if error is None:
            status, headers, body = found.result()
            assert isinstance(body, bytes)  # noqa: S101 - see askers
        else:
            (status, headers, body), refused = self._refusal(error, number)
        if asking.method == b"HEAD":
            body = b""
        if self._log.is_on:
            outcome = Outcome.of(asking.method.decode(), asking.path, asking.path, status, len(body))
            ms = (time.monotonic() - asking.began_at) * 1000
            self._log.write(outcome, self._ids.text(number), ms, refused)
        return b"%b%b%06x\r\n%b\r\n" % (STATUS_LINE[status], preamble, number, header_lines(headers)), body

    def begin_post(self, body: bytes, headers: Mapping[bytes, bytes]) -> "asyncio.Future[Any] | None":
        """Begin to store a result; None when the application is to do it, or to say why not."""
        return self._post_stats.begin(body, headers, self._board)

    def acknowledge(self, stored: "asyncio.Future[Any]", began_at: float, preamble: bytes) -> bytes:
        """The whole answer to a result, from the future that has ended.

        began_at -- on time.monotonic's clock
        """
        number, refused = self._ids.next_number(), ""
        error = _STOPPED if stored.cancelled() else stored.exception()
        if error is None:
            outcome, rest = self._stored, self._acknowledgement
        else:
            (status, headers, body), refused = self._refusal(error, number)
            outcome = Outcome.of("POST", self._stored.path, self._stored.path, status, len(body))
            rest = header_lines(headers) + b"\r\n" + body
        if self._log.is_on:
            ms = (time.monotonic() - began_at) * 1000
            self._log.write(outcome, self._ids.text(number), ms, refused)
        return b"%b%b%06x\r\n%b" % (STATUS_LINE[outcome.status], preamble, number, rest)

    def note_lost(self, began_at: float) -> None:
        """Log a result whose sender left in the middle of it, as the application does."""
        path = self._stored.path
        outcome = Outcome.of("POST", path, path, 499, 0)
        self._log.write(outcome, self._ids.next(), (time.monotonic() - began_at) * 1000)

    def _refusal(self, error: BaseException, number: int) -> tuple[tuple[int, Headers, bytes], str]:
        """What a client is told of an error, and what the log says of its request."""
        if isinstance(error, Refusal):
            response, logged = refusal_response(error), str(error)
        else:
            log.error("fault", request_id=self._ids.text(number), exc_info=error)
            response, logged = error_response(500, "internal error"), ""
        return (response.status_code, tuple(response.raw_headers), bytes(response.body)), logged
