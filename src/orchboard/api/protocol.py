"""HTTP as uvicorn speaks it, with the answers to unreadable requests in the API's own shape, and the short way."""

import asyncio
import re
import sys
import time
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from orchboard.api.refusals import error_response
from orchboard.api.short_way import POST_TARGET, Known, ShortWay, header_lines

_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r?\n")

_ACCEPT_ENCODING = b"accept-encoding"
_IF_NONE_MATCH = b"if-none-match"
_AUTHORIZATION = b"authorization"
_KEY = b"idempotency-key"

# A GET with one of these, or any request that expects something, takes the long way.
_BODY = frozenset({b"content-length", b"transfer-encoding"})
_NOTED = _BODY | {_ACCEPT_ENCODING, _IF_NONE_MATCH, _AUTHORIZATION, _KEY, b"expect"}


class Posting:
    """A result on its way into the database; to uvicorn, a request that is being answered."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.began_at = time.monotonic()
        self.keep_alive = True
        self.more_body = True
        self.response_complete = False
        self.disconnected = False
        self.message_event = asyncio.Event()


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol; a request the parser rejects is answered in JSON, and an unknown method with 405.

    With a `short_way` in the application's state, answers that are known are written at once, and results
    go straight to the leaderboard. Everything else, and whatever comes while a request is being answered,
    becomes an ASGI request as usual.
    """

    _received = b""
    _expects_head = True
    _answered: tuple[Known, bytes, bytes | None] | None = None
    _heads = 0
    _posting: Posting | None = None
    _idle_since: float | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._short_way: ShortWay | None = self.app_state.get("short_way")
        self._noted: dict[bytes, bytes] = {}
        self._is_odd = False
        self._preamble_of: list[tuple[bytes, bytes]] | None = None
        self._preamble_lines = b""

    def data_received(self, data: bytes) -> None:
        """Parse what came in, remembering how it began for an answer to what can't be parsed.

        An offer to upgrade is not taken up, as HTTP allows; the parser would, and lose the body: Java's
        client offers h2c with every POST.
        """
        way = self._short_way
        if way is not None and self._expects_head and (seen := way.requests.get(data)) and self._is_free():
            answer = way.answer(*seen, self._preamble())
            if answer is not None:
                self._write(answer)
                return
        self._received = data
        self._idle_since = None
        begins = self._expects_head
        self._heads = 0
        if begins:
            head_end = data.find(b"\r\n\r\n")
            if head_end > 0 and _UPGRADE.search(data, 0, head_end):
                data = _UPGRADE.sub(b"\r\nX-Upgrd:", data[:head_end]) + data[head_end:]
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("")
        except httptools.HttpParserUpgrade:
            self._unsupported_upgrade_warning()
        if self._answered and begins and self._heads == 1 and self._expects_head and way is not None:
            way.recognise(self._received, *self._answered)

    def on_message_begin(self) -> None:
        """A head has begun. uvicorn's scope is made when it is known to be wanted."""
        self._expects_head = False
        self._answered = None
        self._heads += 1
        self._is_odd = False
        self._noted = {}
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; those that the short way looks at are noted."""
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
        if (
            self._short_way is not None
            and not self._is_odd
            and self._is_free()
            and self.parser.should_keep_alive()
            and self.parser.get_http_version() == "1.1"
            and self._goes_short(self._short_way, self.parser.get_method())
        ):
            return
        self._to_application()

    def _goes_short(self, way: ShortWay, method: bytes) -> bool:
        noted = self._noted
        if method == b"POST":
            length = noted.get(b"content-length", b"0")
            if self.url != POST_TARGET or not length.isdigit() or int(length) > way.max_body_bytes:
                return False
            self._posting = self.cycle = Posting()  # type: ignore[assignment] # it is all that uvicorn looks at
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
            and not self.transport.is_closing()
        )

    def _write(self, answer: tuple[bytes, bytes]) -> None:
        """Write a whole answer, and wait for the next request.

        One timer is re-armed when it fires; a new one for each answer would cost 1 us.
        """
        self.transport.writelines(answer)
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _to_application(self) -> None:
        """Make an ASGI request of what was parsed so far of this one."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()

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
        self.tasks.add(stored)  # type: ignore[arg-type] # a future: a server that ends waits for it
        stored.add_done_callback(self.tasks.discard)
        stored.add_done_callback(lambda stored: self._acknowledge(posting, stored))

    def _give_up(self) -> None:
        """Let the application have the result after all, with as much of the body as came."""
        posting, self._posting = self._posting, None
        assert posting is not None  # noqa: S101 - who calls has looked
        posting.response_complete = True
        self._to_application()
        super().on_body(bytes(posting.body))

    def _acknowledge(self, posting: Posting, stored: "asyncio.Future[Any]") -> None:
        """Answer a result: this one, whatever the connection has read since."""
        assert self._short_way is not None  # noqa: S101 - as above
        preamble = self._preamble() if posting.keep_alive else self._preamble() + b"connection: close\r\n"
        answer = self._short_way.acknowledge(stored, posting.began_at, preamble)
        posting.response_complete = True
        if posting.disconnected:
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
        """An ASGI request was answered."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle for long enough; one that was busy meanwhile has another timer later."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return
        remaining_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if remaining_s > 0.001:
            self.timeout_keep_alive_task = self.loop.call_later(remaining_s, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio reads the answer, uvicorn gives none
        """Answer a client that has sent its whole request and closed its side, as `nc -N` does."""
        cycle = self.cycle
        if cycle is None or cycle.more_body or cycle.response_complete:
            return False
        if not self.pipeline:
            cycle.keep_alive = False
        return True

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's wording is not ours
        """Answer what is no HTTP request and close the connection."""
        invalid_method = isinstance(sys.exc_info()[1], httptools.HttpParserInvalidMethodError)
        if invalid_method and _REQUEST_LINE.match(self._received):
            response = error_response(405, "unknown method", {"Allow": "GET, HEAD, POST, OPTIONS"})
        else:
            response = error_response(400, "this is not a valid HTTP/1.1 request")
        lines = [STATUS_LINE[response.status_code]]
        for name, value in response.raw_headers:
            lines += [name, b": ", value, b"\r\n"]
        self.transport.write(b"".join([*lines, b"connection: close\r\n\r\n", bytes(response.body)]))
        self.transport.close()
