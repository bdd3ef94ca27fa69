"""Requests as they come in: parsed within bounds, handed to the application, refused in the API's own shape."""

import math
import re
from collections.abc import Sequence
from typing import Any

import httptools
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from orchboard.api.authenticator import CREDENTIALS
from orchboard.api.refusals import error_response
from orchboard.api.responses import header_lines
from orchboard.http.connection_memory import HoldingProtocol
from orchboard.http.head_rules import (
    HOST,
    TRANSFER_ENCODING,
    UNKNOWN_METHOD,
    RejectedRequestError,
    check_head,
)

# Requests of one connection that may wait for their turn, 4 kB each: a quarter of a megabyte is read at once, and holds
# 14,000.
MAX_WAITING = 1000

_WAITING_BYTES = 4096

# The longest head that is waited for, trailers and what else frames a body alike. A head that comes at once may be as
# long as what is read at once.
MAX_HEAD_BYTES = 64 * 1024

_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r?\n")

_TOO_LONG = error_response(431, f"the head is over {MAX_HEAD_BYTES} bytes")
_MALFORMED = error_response(400, "this is not a valid HTTP/1.1 request")
_TOO_MANY = error_response(429, f"over {MAX_WAITING} requests wait on this connection")

ACCEPT_ENCODING = b"accept-encoding"
IF_NONE_MATCH = b"if-none-match"

# A GET with one of the first, or any request with one of the others, takes the long way.
BODY = frozenset({b"content-length", TRANSFER_ENCODING})
_ODD = frozenset({b"expect", b"content-encoding"})
_NOTED = BODY | _ODD | {HOST, ACCEPT_ENCODING, IF_NONE_MATCH} | CREDENTIALS


class ReadingProtocol(HoldingProtocol):
    """uvicorn's HTTP protocol; a request the parser rejects is answered in JSON, and an unknown method with 405.

    An offer to upgrade is not taken up, as HTTP allows: Java's client offers h2c with every POST.
    """

    _heads = 0
    _head_bytes = 0
    _declines_upgrade = False

    # What is being parsed, from the last head of the read before if that is not complete, and how much of it belongs to
    # request lines that were found.
    _raw = b""
    _found = 0

    # Why the parser was stopped.
    _rejection: Response | None = None

    # Since a body brought something: chunk extensions, trailers.
    _framing_bytes = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.url = b""
        self._is_odd = False

    def _read(self, data: bytes) -> bool:
        """Have the parser read it, and say by when what is next must come; False when it is no HTTP, which is answered."""
        begins = self._expects_head
        self._heads = 0
        self._framing_bytes += len(data)
        is_readable = self._parse(data, begins=begins)
        if self._last_words is None:
            is_all_of_head = not self._heads or (begins and self._heads == 1)
            if self._in_head and is_all_of_head:
                self._head_bytes += len(data)
            waited_for = self._head_bytes if self._in_head else self._framing_bytes
            if waited_for > MAX_HEAD_BYTES and not self._expects_head:
                self._end(_TOO_LONG)
            elif not (begins and self._expects_head and not self._heads):
                self._set_due(len(data))
                self._count_held()
        return is_readable

    def _answers(self, method: bytes) -> bool:
        """Whether the request whose head is complete needs no application."""
        raise NotImplementedError

    def _parse(self, data: bytes, *, begins: bool) -> bool:
        """False when it is no HTTP, which is answered."""
        rest: bytes | memoryview = data
        self._raw = self._begun + data if self._begun else data
        self._found = 0
        try:
            while True:
                try:
                    self.parser.feed_data(rest)
                    break
                except httptools.HttpParserUpgrade as upgrade:  # what follows, even a body, is left to us
                    rest = memoryview(rest)[upgrade.args[0] :]
                    self._parse_without_upgrade()
        except httptools.HttpParserError as error:
            self.logger.warning("Invalid HTTP request received.")
            if len(self.url) >= MAX_HEAD_BYTES:
                self._end(_TOO_LONG)
            else:
                head = data if begins and self._heads == 1 else b""
                self._end(self._rejection or _unreadable(error, head))
            return False
        self._begun = self._raw[self._found :] if self._in_head else b""
        self._raw = b""
        if self._in_head and self.parser.get_http_version() == "0.9":  # or none: such a head has no end
            self._end(_MALFORMED)
            return False
        return True

    def _parse_without_upgrade(self) -> None:
        """Parse the head again that was read last, without its offer."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._heads -= 1
        headers = header_lines(tuple(header for header in self.headers if header[0] != b"upgrade"))
        self.parser.feed_data(b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version.encode(), headers))

    def on_message_begin(self) -> None:
        """A head has begun. uvicorn's scope is made when it is known to be wanted."""
        self._expects_head = False
        self._in_head = True
        self._head_bytes = 0
        self._due_at = self.loop.time() + self.patience_s
        self._heads += 1
        self._is_odd = False
        self._declines_upgrade = False
        self._noted = {}
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; those that the fast path looks at are noted. What trails a body is no header."""
        if not self._in_head:
            return
        name = name.lower()
        self.headers.append((name, value))
        if name in _NOTED:
            if name in self._noted:
                self._is_odd = True
            self._noted[name] = value
            if name in _ODD:
                self._is_odd = True
            if name == b"expect":
                self.expect_100_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """Answer at once, begin to take a result in, or make an ASGI request of it."""
        try:
            self._turn_to_answer()
        except RejectedRequestError as error:
            self._rejection = error.response
            raise
        self._in_head = False  # unless that failed: it is the head then that is refused
        self._framing_bytes = 0

    def _turn_to_answer(self) -> None:
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if self.parser.should_upgrade() and method != b"CONNECT":
            self._declines_upgrade = True
            return
        self._find_request_line(method, version)
        hosts, codings = self._values(HOST), self._values(TRANSFER_ENCODING)
        self.url = check_head(method, self.url, version, hosts, codings)
        if (
            not self._is_odd
            and version == "1.1"
            and self.parser.should_keep_alive()
            and self._answers(method)
        ):
            return
        if len(self.pipeline) >= MAX_WAITING:
            raise RejectedRequestError(_TOO_MANY)
        if not self._is_done():
            self._unanswered_bytes += _WAITING_BYTES
        self._to_application()

    def _values(self, name: bytes) -> Sequence[bytes]:
        """The values of all headers of a name, one of those that are noted."""
        if name not in self._noted:
            return ()
        if not self._is_odd:
            return (self._noted[name],)
        return [value for known, value in self.headers if known == name]

    def _find_request_line(self, method: bytes, version: str) -> None:
        """Find the line in what came: llhttp takes several spaces, RTSP/1.0 and ICE/1.0 for one space and HTTP/1.0."""
        line = b"%b %b HTTP/%b\r\n" % (method, self.url, version.encode())
        at = self._raw.find(line, self._found)
        if at < 0:
            raise RejectedRequestError(_MALFORMED)
        self._found = at + len(line)

    def _to_application(self) -> None:
        """Make an ASGI request of what was parsed so far of this one."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()
        if self._is_finishing:
            self._announce_end()

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._framing_bytes = 0
        self._unanswered_bytes += len(body)
        super().on_body(body)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._current = cycle
        super()._start_asgi_task(cycle, app)

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
        elif self._unanswered_bytes:
            self._count_held()
        self._set_due()

    def _set_due(self, received: int = 0) -> None:
        """Say how long the client may take for what it has to do next, `received` bytes having come.

        A head's time began when it did, in `on_message_begin`.
        """
        if self._is_answering():
            self._due_at = math.inf
        elif self._expects_head:
            self._begin_idle()
        elif not self._in_head:
            self._note_received(received)


def _unreadable(error: httptools.HttpParserError, head: bytes) -> Response:
    """The answer to what is no HTTP request; `head` is how it began, if that is known."""
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _REQUEST_LINE.match(head):
        return UNKNOWN_METHOD
    return _MALFORMED
