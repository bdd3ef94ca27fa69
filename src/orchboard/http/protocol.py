"""A client's connection: the fast path where it leads, the application for everything else."""

import asyncio
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from orchboard.answers.replies import Reply
from orchboard.api.authenticator import CREDENTIALS
from orchboard.api.post_stats import parse_length
from orchboard.api.responses import header_lines
from orchboard.api.verified_addresses import VerifiedAddresses
from orchboard.http.fast_path import POST_TARGET, FastPath
from orchboard.http.head_template import PostHead
from orchboard.http.pending_request import PendingGet, PendingPost, PendingRequest
from orchboard.http.request_parsing import ACCEPT_ENCODING, BODY, IF_NONE_MATCH, ReadingProtocol
from orchboard.http.route_cache import CachedRoute

# So many results of one connection are parsed before the next is known by its head.
_POSTS_UNTIL_KNOWN = 2

# What differs from one result's head to the next.
_DIFFERING = CREDENTIALS | {b"content-length"}


class Protocol(ReadingProtocol):
    """What uvicorn makes of each connection.

    With a `fast_path` in the application's state, answers that are known are written at once, and results
    go straight to the leaderboard. Everything else, and whatever comes while a request is being answered,
    becomes an ASGI request as usual.
    """

    # The last request that was answered from memory, the result that is coming in.
    _answered: tuple[CachedRoute, bytes, bytes | None] | None = None
    _posting: PendingPost | None = None
    _post_head: PostHead | None = None
    _posts = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._short_way: FastPath | None = self.app_state.get("fast_path")
        self._room = self.app_state.get("room")
        self._bodies = self.app_state.get("bodies")
        self._signers: VerifiedAddresses | None = self.app_state.get("signers")
        self.timeout_keep_alive = self.app_state.get("keep_alive_s", self.timeout_keep_alive)
        self._is_proxied = False
        self._is_noted = False
        self._default_headers: list[tuple[bytes, bytes]] | None = None
        self._preamble_lines = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """A client's time begins to run, if there is room for it."""
        super().connection_made(transport)
        self._begin_time()
        if self._signers is not None:
            self._is_proxied = self._signers.is_proxy(self.client)
            if not self._is_proxied:
                self.address = self._peer = self._signers.address_of(self.client, ())
        if self._room is not None:
            self._find_room(self._room)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who answers; a result that did not come in whole has its line in the log."""
        self._unset_keepalive_if_required()
        self._release()
        if self._current is not None:
            self._current.disconnected = True
            self._current.message_event.set()
        if self._posting is not None and self._short_way is not None:
            self._short_way.note_lost(self._posting.began_at)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Answer what was seen before byte for byte, take in a result like the last; parse anything else."""
        way = self._short_way
        if way is not None and self._expects_head and self._is_free():
            if self._post_head is not None:
                if (read := self._post_head.read(data)) and self._take(way, *read):
                    return
            elif (seen := way.known.requests.get(data)) and (answer := way.answer(*seen, self._preamble())):
                self._write(answer)
                return
        if self._last_words is not None:
            return
        begins, posts = self._expects_head, self._posts
        if self._read(data) and way and begins and self._heads == 1 and self._expects_head:
            self._learn(way, data, is_post=posts < self._posts)

    def _learn(self, way: FastPath, request: bytes, *, is_post: bool) -> None:
        """Spare the parser this request, or the head of a result, the next time."""
        if self._answered:
            way.known.recognise(request, *self._answered)
        elif is_post and self._posts == _POSTS_UNTIL_KNOWN:
            self._post_head = PostHead.learn(request, _DIFFERING)

    def on_message_begin(self) -> None:
        """A head has begun."""
        super().on_message_begin()
        self._answered = None

    def _answers(self, method: bytes) -> bool:
        """Answer at once or begin to take a result in, if that can be."""
        way, noted = self._short_way, self._noted
        if way is None or not self._is_free():
            return False
        if method == b"POST":
            length = parse_length(noted.get(b"content-length", b"0").decode("latin-1"))
            if self.url != POST_TARGET or length > way.max_body_bytes:
                return False
            self._posting = self._current = PendingPost()
            self.cycle = self._posting  # type: ignore[assignment] # it is all that uvicorn looks at
            return True
        if method not in (b"GET", b"HEAD") or not BODY.isdisjoint(noted):
            return False
        if_none_match = noted.get(IF_NONE_MATCH)
        known = way.known.find(self.url, noted.get(ACCEPT_ENCODING, b""))
        if known and (answer := way.answer(known, method, if_none_match, self._preamble())):
            self._answered = known, method, if_none_match
            self._write(answer)
            return True
        return self._asks(way, method)

    def _asks(self, way: FastPath, method: bytes) -> bool:
        """Begin to find an answer; False when that is the application's."""
        begun = (
            None
            if self.root_path
            else way.begin_question(self.url, method, self._noted, self.client, self.headers)
        )
        if begun is None:
            return False
        asking, found = begun
        self._current = self.cycle = asking  # type: ignore[assignment] # it is all that uvicorn looks at
        self.tasks.add(found)  # type: ignore[arg-type] # a server that ends waits for it
        found.add_done_callback(partial(self._reply, asking))
        return True

    def _reply(self, asking: PendingGet, found: "asyncio.Task[Reply]") -> None:
        """Answer a question: this one, whatever the connection has read since."""
        assert self._short_way is not None  # noqa: S101 - nothing else makes an PendingGet
        self.tasks.discard(found)
        self._finish(asking, self._short_way.reply(asking, found, self._preamble_of(asking)))

    def _is_free(self) -> bool:
        """Whether nothing is being answered, and what is written now goes out."""
        return (
            self._is_done()
            and not self.flow.write_paused
            and self._last_words is None
            and not self._is_finishing
            and not self.transport.is_closing()
        )

    def _write(self, answer: tuple[bytes, bytes]) -> None:
        """Write a whole answer, and wait for the next request."""
        self.transport.writelines(answer)
        self._begin_idle()

    def _address_of_request(self) -> str:
        if self._is_proxied and self._signers is not None:
            return self._signers.address_of(self.client, self.headers)
        return self.address

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        if self._posting is None:
            super().on_body(body)
            return
        self._framing_bytes = 0
        self._unanswered_bytes += len(body)
        self._posting.body += body
        if self._short_way is None or len(self._posting.body) > self._short_way.max_body_bytes:
            self._give_up()

    def on_message_complete(self) -> None:
        """The next bytes are a head's."""
        if self._declines_upgrade:
            return  # its body is still to come
        self._expects_head = True
        if self._answered:
            return
        if self._posting is None:
            super().on_message_complete()
            return
        posting = self._posting
        posting.more_body = False
        assert self._short_way is not None  # noqa: S101 - nothing else makes a PendingPost
        stored = self._short_way.begin_post(bytes(posting.body), self._noted)
        if stored is None:
            self._give_up()
            super().on_message_complete()
            return
        self._posting = None
        self._posts += 1
        posting.body.clear()
        self._unanswered_bytes = 0  # the writer has its own bounds
        if not self._is_noted and self._signers is not None:
            self._signers.note(self._address_of_request())
            self._is_noted = not self._is_proxied
        self._acknowledge_when(stored, posting)

    def _take(self, way: FastPath, headers: Mapping[bytes, bytes], body: bytes) -> bool:
        """Begin to store a result whose head was known; False when it is not signed."""
        posting = PendingPost()
        if len(body) > way.max_body_bytes:
            return False
        stored = way.begin_post(body, headers)
        if stored is None:
            return False
        posting.more_body = False
        self._current = self.cycle = posting  # type: ignore[assignment] # as in _answers
        self._acknowledge_when(stored, posting)
        self._due_at = math.inf
        return True

    def _acknowledge_when(self, stored: "asyncio.Future[Any]", posting: PendingPost) -> None:
        self.tasks.add(stored)  # type: ignore[arg-type] # a future: a server that ends waits for it
        stored.add_done_callback(partial(self._acknowledge, posting))

    def _give_up(self) -> None:
        """Let the application have the result after all, with as much of the body as came."""
        posting, self._posting = self._posting, None
        assert posting is not None  # noqa: S101 - who calls has looked
        posting.response_complete = True
        self._to_application()
        self.cycle.keep_alive = posting.keep_alive
        self.cycle.body, posting.body = posting.body, bytearray()  # it may be 16 MiB: not copied
        super().on_body(b"")

    def _acknowledge(self, posting: PendingPost, stored: "asyncio.Future[Any]") -> None:
        """Answer a result: this one, whatever the connection has read since."""
        assert self._short_way is not None  # noqa: S101 - as above
        self.tasks.discard(stored)
        preamble = self._preamble_of(posting)
        self._finish(posting, (self._short_way.acknowledge(stored, posting.began_at, preamble),))

    def _finish(self, exchange: PendingRequest, answer: tuple[bytes, ...]) -> None:
        """Write the whole answer to a request that was begun here, and turn to the next."""
        exchange.response_complete = True
        if exchange.disconnected or self.transport.is_closing():
            return
        self.transport.writelines(answer)
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _preamble_of(self, exchange: PendingRequest) -> bytes:
        return self._preamble() if exchange.keep_alive else b"connection: close\r\n" + self._preamble()

    def _preamble(self) -> bytes:
        """What every head has first: the server's headers, another list each second as the date is among them, and
        the request's id without its end.
        """
        headers = self.server_state.default_headers
        if headers is not self._default_headers:
            assert self._short_way is not None  # noqa: S101 - nothing else is answered here
            self._default_headers = headers
            self._preamble_lines = header_lines(tuple(headers)) + self._short_way.request_id_line
        return self._preamble_lines
