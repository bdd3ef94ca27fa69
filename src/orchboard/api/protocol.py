"""HTTP as uvicorn speaks it, with refusals in the API's own shape, and the short way; `deadlines` has the time."""

import asyncio
import math
import re
import time
from collections.abc import Mapping
from fcntl import ioctl
from termios import FIONREAD
from typing import Any

import httptools
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from orchboard.api.deadlines import LINGER_S, TimedProtocol
from orchboard.api.post_head import PostHead
from orchboard.api.post_stats import parse_length
from orchboard.api.refusals import error_response
from orchboard.api.short_way import POST_TARGET, Known, ShortWay, header_lines

# So many requests of one connection may wait for their turn, some 4 kB each: a quarter of a megabyte is read at
# once, and holds 14,000.
MAX_WAITING = 1000

# The longest head that is waited for; one that comes at once may be as long as what is read at once.
MAX_HEAD_BYTES = 64 * 1024

_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r?\n")

_TOO_LONG = error_response(431, f"the head is over {MAX_HEAD_BYTES} bytes")
_TOO_MANY = error_response(429, f"over {MAX_WAITING} requests wait on this connection", {"Retry-After": "1"})

_ACCEPT_ENCODING = b"accept-encoding"
_IF_NONE_MATCH = b"if-none-match"
_AUTHORIZATION = b"authorization"
_KEY = b"idempotency-key"

# A GET with one of these, or any request that expects something, takes the long way.
_BODY = frozenset({b"content-length", b"transfer-encoding"})
_NOTED = _BODY | {_ACCEPT_ENCODING, _IF_NONE_MATCH, _AUTHORIZATION, _KEY, b"expect"}

# So many results of one connection are parsed before the next is known by its head.
_POSTS_UNTIL_KNOWN = 2

# What differs from one result's head to the next.
_DIFFERING = {_AUTHORIZATION, _KEY, b"content-length"}


class TooManyWaitingError(Exception):
    """Raised to stop the parser: MAX_WAITING."""


class Posting:
    """A result on its way into the database; to uvicorn, a request that is being answered."""

    # uvicorn sets it when the client leaves; nobody waits for it.
    message_event = asyncio.Event()
    keep_alive = True
    more_body = True
    response_started = False
    response_complete = False
    disconnected = False

    def __init__(self) -> None:
        self.body = bytearray()
        self.began_at = time.monotonic()


class Protocol(TimedProtocol):
    """uvicorn's HTTP protocol; a request the parser rejects is answered in JSON, and an unknown method with 405.

    With a `short_way` in the application's state, answers that are known are written at once, and results
    go straight to the leaderboard. Everything else, and whatever comes while a request is being answered,
    becomes an ASGI request as usual.

    An offer to upgrade is not taken up, as HTTP allows: Java's client offers h2c with every POST.
    """

    # Where the parser is: between two requests, in a head, or, with neither, in a body.
    _expects_head = True
    _in_head = False
    _heads = 0
    _head_bytes = 0
    _declines_upgrade = False

    # The last request that was answered from memory, the result that is coming in, what is being answered.
    _answered: tuple[Known, bytes, bytes | None] | None = None
    _posting: Posting | None = None
    _post_head: PostHead | None = None
    _posts = 0
    _current: RequestResponseCycle | Posting | None = None

    # Whether the server ends, and the request whose answer says that it is the connection's last.
    _is_finishing = False
    _last_of_all: RequestResponseCycle | Posting | None = None

    # What is written before the connection is closed, once all requests before are answered.
    _last_words: bytes | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._short_way: ShortWay | None = self.app_state.get("short_way")
        self.url = b""
        self._noted: dict[bytes, bytes] = {}
        self._is_odd = False
        self._preamble_of: list[tuple[bytes, bytes]] | None = None
        self._preamble_lines = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """A client's time begins to run."""
        super().connection_made(transport)
        self._begin_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who answers; a result that did not come in whole has its line in the log."""
        self._unset_keepalive_if_required()
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
            elif (seen := way.requests.get(data)) and (answer := way.answer(*seen, self._preamble())):
                self._write(answer)
                return
        if self._last_words is not None:
            return
        begins, posts = self._expects_head, self._posts
        self._heads = 0
        is_readable = self._parse(data, begins=begins)
        if way and is_readable and begins and self._heads == 1 and self._expects_head:
            self._learn(way, data, is_post=posts < self._posts)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._end(_TOO_LONG)
        if self._last_words is None and not (begins and self._expects_head and not self._heads):
            self._set_due(len(data))

    def _learn(self, way: ShortWay, request: bytes, *, is_post: bool) -> None:
        """Spare the parser this request, or the head of a result, the next time."""
        if self._answered:
            way.recognise(request, *self._answered)
        elif is_post and self._posts == _POSTS_UNTIL_KNOWN:
            self._post_head = PostHead.learn(request, _DIFFERING)

    def _parse(self, data: bytes, *, begins: bool) -> bool:
        """Have it parsed; False when it is no HTTP, which is answered."""
        rest: bytes | memoryview = data
        try:
            while True:
                try:
                    self.parser.feed_data(rest)
                    return True
                except httptools.HttpParserUpgrade as upgrade:  # what follows, even a body, is left to us
                    rest = memoryview(rest)[upgrade.args[0] :]
                    self._parse_without_upgrade()
        except httptools.HttpParserError as error:
            self.logger.warning("Invalid HTTP request received.")
            if len(self.url) >= MAX_HEAD_BYTES:
                self._end(_TOO_LONG)
            elif isinstance(error.__context__, TooManyWaitingError):
                self._end(_TOO_MANY)
            else:
                self._end(_unreadable(error, data if begins and self._heads == 1 else b""))
            return False

    def _parse_without_upgrade(self) -> None:
        """Parse the head again that was read last, without its offer. After a CONNECT's comes a new request."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        if self._declines_upgrade:
            self._heads -= 1
            headers = header_lines(tuple(header for header in self.headers if header[0] != b"upgrade"))
            self.parser.feed_data(b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version.encode(), headers))

    def on_message_begin(self) -> None:
        """A head has begun. uvicorn's scope is made when it is known to be wanted."""
        self._expects_head = False
        self._in_head = True
        self._head_bytes = 0
        self._due_at = self.loop.time() + self.patience_s
        self._answered = None
        self._heads += 1
        self._is_odd = False
        self._declines_upgrade = False
        self._noted = {}
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; those that the short way looks at are noted. What trails a body is no header."""
        if not self._in_head:
            return
        name = name.lower()
        self.headers.append((name, value))
        if name in _NOTED:
            if name in self._noted:
                self._is_odd = True
            self._noted[name] = value
            if name == b"expect":
                self._is_odd = True
                self.expect_100_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """Answer at once, begin to take a result in, or make an ASGI request of it."""
        self._turn_to_answer()
        self._in_head = False  # unless that failed: it is the head then that is refused

    def _turn_to_answer(self) -> None:
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._declines_upgrade = True
            return
        if (
            self._short_way is not None
            and not self._is_odd
            and self._is_free()
            and self.parser.should_keep_alive()
            and self.parser.get_http_version() == "1.1"
            and self._goes_short(self._short_way, self.parser.get_method())
        ):
            return
        if len(self.pipeline) >= MAX_WAITING:
            raise TooManyWaitingError
        self._to_application()

    def _goes_short(self, way: ShortWay, method: bytes) -> bool:
        noted = self._noted
        if method == b"POST":
            length = parse_length(noted.get(b"content-length", b"0").decode("latin-1"))
            if self.url != POST_TARGET or length > way.max_body_bytes:
                return False
            self._posting = self._current = Posting()
            self.cycle = self._posting  # type: ignore[assignment] # it is all that uvicorn looks at
            return True
        if method not in (b"GET", b"HEAD") or not _BODY.isdisjoint(noted):
            return False
        known = way.find(self.url, noted.get(_ACCEPT_ENCODING, b""))
        if known is None:
            return False
        if_none_match = noted.get(_IF_NONE_MATCH)
        answer = way.answer(known, method, if_none_match, self._preamble())
        if answer is None:
            return False
        self._answered = known, method, if_none_match
        self._write(answer)
        return True

    def _is_free(self) -> bool:
        """Whether nothing is being answered, and what is written now goes out."""
        cycle = self.cycle
        return (
            (cycle is None or cycle.response_complete)
            and not self.flow.write_paused
            and self._last_words is None
            and not self._is_finishing
            and not self.transport.is_closing()
        )

    def _is_answering(self) -> bool:
        """Whether a request that came in whole waits for its answer."""
        current = self._current
        return current is not None and not current.response_complete and not current.more_body

    def _write(self, answer: tuple[bytes, bytes]) -> None:
        """Write a whole answer, and wait for the next request."""
        self.transport.writelines(answer)
        self._due_at = self.loop.time() + self.timeout_keep_alive

    def _to_application(self) -> None:
        """Make an ASGI request of what was parsed so far of this one."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()
        if self._is_finishing:
            self._announce_end()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._current = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        if self._posting is None:
            super().on_body(body)
            return
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
        noted = self._noted
        posting.more_body = False
        assert self._short_way is not None  # noqa: S101 - nothing else makes a Posting
        stored = self._short_way.begin_post(
            bytes(posting.body), noted.get(_AUTHORIZATION, b""), noted.get(_KEY, b"")
        )
        if stored is None:
            self._give_up()
            super().on_message_complete()
            return
        self._posting = None
        self._posts += 1
        posting.body.clear()
        self._acknowledge_when(stored, posting)

    def _take(self, way: ShortWay, headers: Mapping[bytes, bytes], body: bytes) -> bool:
        """Begin to store a result whose head was known; False when it is not signed."""
        posting = Posting()
        if len(body) > way.max_body_bytes:
            return False
        stored = way.begin_post(body, headers.get(_AUTHORIZATION, b""), headers.get(_KEY, b""))
        if stored is None:
            return False
        posting.more_body = False
        self._current = self.cycle = posting  # type: ignore[assignment] # as in _goes_short
        self._acknowledge_when(stored, posting)
        self._due_at = math.inf
        return True

    def _acknowledge_when(self, stored: "asyncio.Future[Any]", posting: Posting) -> None:
        self.tasks.add(stored)  # type: ignore[arg-type] # a future: a server that ends waits for it
        stored.add_done_callback(lambda stored: self._acknowledge(posting, stored))

    def _give_up(self) -> None:
        """Let the application have the result after all, with as much of the body as came."""
        posting, self._posting = self._posting, None
        assert posting is not None  # noqa: S101 - who calls has looked
        posting.response_complete = True
        self._to_application()
        self.cycle.keep_alive = posting.keep_alive
        super().on_body(bytes(posting.body))

    def _acknowledge(self, posting: Posting, stored: "asyncio.Future[Any]") -> None:
        """Answer a result: this one, whatever the connection has read since."""
        assert self._short_way is not None  # noqa: S101 - as above
        self.tasks.discard(stored)
        preamble = self._preamble() if posting.keep_alive else self._preamble() + b"connection: close\r\n"
        answer = self._short_way.acknowledge(stored, posting.began_at, preamble)
        posting.response_complete = True
        if posting.disconnected or self.transport.is_closing():
            return
        self.transport.write(answer)
        if not posting.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _preamble(self) -> bytes:
        """What the server adds to every head: the date, another list each second."""
        headers = self.server_state.default_headers
        if headers is not self._preamble_of:
            self._preamble_of = headers
            self._preamble_lines = header_lines(tuple(headers))
        return self._preamble_lines

    def on_response_complete(self) -> None:
        """Turn to the next request that waits; uvicorn's, without a timer for each answer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._due_at = self.loop.time() + self.patience_s
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._last_words is not None:
            self._close(self._last_words)
            return
        self._set_due()

    def _set_due(self, received: int = 0) -> None:
        """Say how long the client may take for what it has to do next, `received` bytes having come.

        A head's time began when it did, in `on_message_begin`.
        """
        if self._is_answering():
            self._due_at = math.inf
        elif self._expects_head:
            self._due_at = self.loop.time() + self.timeout_keep_alive
        elif not self._in_head:
            self._note_received(received)

    def _is_idle(self) -> bool:
        return self._expects_head and not self._is_answering() and self._last_words is None

    def _run_out(self) -> None:
        if self._expects_head or self._last_words is not None:
            self.transport.close()
        else:
            self._end(error_response(408, "the request did not come in time"))

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio reads the answer, uvicorn gives none
        """Answer a client that has sent its whole request and closed its side, as `nc -N` does."""
        if self._is_answering():
            self._end(None)
            return True
        return False

    def finish(self) -> None:
        """The server ends: answer what comes, and say with the newest request's answer that it is the last.

        What the client sent before it could know is answered too. Doing it twice is fine.
        """
        if not self._is_finishing:
            self._is_finishing = True
            self._announce_end()

    def _announce_end(self) -> None:
        before, newest = self._last_of_all, self.cycle
        if newest is None or newest.response_complete or not newest.keep_alive:
            return
        if before is not None and not before.response_started:
            before.keep_alive = True
        newest.keep_alive = False
        self._last_of_all = newest

    def shutdown(self) -> None:
        """Close the connection, once what its client has begun to ask is answered."""
        is_idle = self._expects_head and (self.cycle is None or self.cycle.response_complete)
        if is_idle and not _unread(self.transport):
            self.transport.close()
        else:
            self.finish()

    def _end(self, response: Response | None) -> None:
        """Read nothing more; answer what came in whole, then what came last, and close the connection."""
        if self._last_words is not None or self.transport.is_closing():
            return
        words = b"" if response is None else _closing(response)
        if self._is_answering():
            if self.pipeline and self.cycle.more_body:
                self.pipeline.popleft()  # it came last, and never will be whole
            self._last_words = words
            self.flow.pause_reading()
        elif self._current is not None and self._current.response_complete and self._is_in_body():
            self._close(b"")  # answered before it was whole
        else:
            self._close(words)

    def _is_in_body(self) -> bool:
        return not self._expects_head and not self._in_head

    def _close(self, words: bytes) -> None:
        if not words:
            self.transport.close()
            return
        if self._current is not None and not self._current.response_complete:
            self._current.disconnected = True  # whoever waits for the rest of it waits in vain
            self._current.message_event.set()
        self._last_words = words
        self.transport.write(words)
        if not self.transport.can_write_eof():  # TLS
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._due_at = self.loop.time() + LINGER_S


def _unread(transport: asyncio.Transport) -> bool:
    """Whether the client has sent what was not read yet."""
    return any(ioctl(transport.get_extra_info("socket").fileno(), FIONREAD, bytes(4)))


def _unreadable(error: httptools.HttpParserError, head: bytes) -> Response:
    """The answer to what is no HTTP request; `head` is how it began, if that is known."""
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _REQUEST_LINE.match(head):
        return error_response(405, "unknown method", {"Allow": "GET, HEAD, POST, OPTIONS"})
    return error_response(400, "this is not a valid HTTP/1.1 request")


def _closing(response: Response) -> bytes:
    """A whole response that says it is the last."""
    head = STATUS_LINE[response.status_code] + header_lines(tuple(response.raw_headers))
    return b"%bconnection: close\r\n\r\n%b" % (head, bytes(response.body))
