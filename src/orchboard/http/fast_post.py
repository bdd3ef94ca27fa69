"""Results on the fast path: received, submitted, and acknowledged once they are on disk. See `fast_path.py`."""

import asyncio
import re
import time
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Self

from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from orchboard import limits
from orchboard.answers.answer import header_lines
from orchboard.api.authenticator import CREDENTIALS
from orchboard.api.post_stats import PostStats, parse_length
from orchboard.api.refusals import STOPPING
from orchboard.api.request_counters import RequestCounters
from orchboard.api.responses import ok
from orchboard.http.access_log import AccessLog, Outcome, RequestIds
from orchboard.http.fast_path import Connection, PendingRequest, refuse
from orchboard.http.request_parsing import CONTENT_LENGTH, RequestReader

_PATH = "/api/post_stats"
_TARGET = _PATH.encode()

_STORED = Outcome.of("POST", _PATH, _PATH, 200, 2)
_ACKNOWLEDGEMENT = header_lines(tuple(ok().raw_headers)) + b"\r\nok"

# The result of a connection, counted from 1, whose head becomes the template of later ones.
_LEARNED_RESULT = 2

# A value that may differ: visible characters, as all credentials are.
_VALUE = rb"([!-~]{1,512})"
_LENGTH = rb"([0-9]{1,9})"

_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(:[ \t]*)(\S*)(\r\n)")

_DIFFERING = CREDENTIALS | {b"content-length"}


class HeadTemplate:
    """Matches requests whose head equals an earlier one except in the values of some headers."""

    __slots__ = ("_length", "_names", "_pattern")

    def __init__(self, pattern: "re.Pattern[bytes]", names: tuple[bytes, ...]) -> None:
        self._pattern = pattern
        self._names = names
        self._length = names.index(b"content-length")

    @classmethod
    def learn(cls, request: bytes, differing: Collection[bytes] = _DIFFERING) -> Self | None:
        """The template of a request that the parser has accepted; None for a head that is too long or unusual.

        differing -- names of headers, in lower case, whose values may differ
        """
        end = request.find(b"\r\n\r\n", 0, limits.MAX_TEMPLATE_HEAD_BYTES)
        start = request.find(b"\r\n") + 2
        pattern, names = re.escape(request[:start]), []
        while 0 < start < end + 2:
            next_line = request.index(b"\r\n", start) + 2
            name = request[start:next_line].partition(b":")[0].lower()
            if name not in differing:
                pattern += re.escape(request[start:next_line])
                start = next_line
                continue
            header = _HEADER.match(request, start)
            if header is None:
                return None
            value = _LENGTH if name == b"content-length" else _VALUE
            pattern += re.escape(header[1] + header[2]) + value + b"\r\n"
            names.append(name)
            start = next_line
        if end < 0 or names.count(b"content-length") != 1:
            return None
        return cls(re.compile(pattern + b"\r\n"), tuple(names))

    def match(self, request: bytes) -> tuple[Mapping[bytes, bytes], bytes] | None:
        """The differing headers and the body of a whole request; None for another or incomplete request."""
        found = self._pattern.match(request)
        if found is None:
            return None
        values = found.groups()
        body = request[found.end() :]
        if len(body) != int(values[self._length]):
            return None
        return dict(zip(self._names, values, strict=True)), body


class PendingPost(PendingRequest):
    """A result that is being received or stored."""

    more_body = True

    def __init__(self) -> None:
        self.began_at = time.monotonic()
        self.body = bytearray()


class PostServices(Struct, frozen=True):
    """What the results of one process share."""

    post_stats: PostStats
    access_log: AccessLog
    request_ids: RequestIds
    counters: RequestCounters


class FastPosts:
    """The results of one connection.

    post -- the one that is being received, if one is
    is_submitted -- whether the current request was parsed and submitted
    template -- matches further results of the connection, once it has one
    """

    def __init__(
        self, services: PostServices, connection: Connection, reader: RequestReader, server_state: ServerState
    ) -> None:
        self._services = services
        self._post_stats = services.post_stats
        self._counters = services.counters.of(_PATH)
        self._connection = connection
        self._reader = reader
        self._server_state = server_state
        self._submitted = 0
        self.post: PendingPost | None = None
        self.is_submitted = False
        self.template: HeadTemplate | None = None

    def begin_by_bytes(self, data: bytes) -> bool:
        """Submit a whole result that the template matches; False when the parser is to read it."""
        matched = None if self.template is None else self.template.match(data)
        if matched is None or len(matched[1]) > self._post_stats.max_body_bytes:
            return False
        headers, body = matched
        stored = self._post_stats.begin(body, headers)
        if stored is None:
            return False
        post = PendingPost()
        post.more_body = False
        self._connection.begin(post)
        self._acknowledge_when_stored(post, stored)
        return True

    def learn(self, request: bytes) -> None:
        """Know the next result like the current one by its head. request -- the current one, whole"""
        if self._submitted == _LEARNED_RESULT:
            self.template = HeadTemplate.learn(request)

    def begin(self) -> bool:
        """Begin to receive the POST whose head was parsed; False when ASGI is to do it."""
        length = parse_length(self._reader.fields.get(CONTENT_LENGTH, b"0").decode("latin-1"))
        if self._reader.url != _TARGET or length > self._post_stats.max_body_bytes:
            return False
        self.post = PendingPost()
        self._connection.begin(self.post)
        return True

    def add_body(self, post: PendingPost, body: bytes) -> bool:
        """Add to the result that is being received; False when it exceeds the limit."""
        post.body += body
        return len(post.body) <= self._post_stats.max_body_bytes

    def end(self, post: PendingPost) -> bool:
        """Submit the result that was received; False when ASGI is to do it: then nothing was submitted."""
        stored = self._post_stats.begin(bytes(post.body), self._reader.fields)
        if stored is None:
            return False
        self.post = None
        self._submitted += 1
        self.is_submitted = True
        post.body.clear()
        post.more_body = False
        self._acknowledge_when_stored(post, stored)
        return True

    def _acknowledge_when_stored(self, post: PendingPost, stored: "asyncio.Future[Any]") -> None:
        self._server_state.tasks.add(stored)  # type: ignore[arg-type] # a server that shuts down waits for it
        stored.add_done_callback(partial(self._finish, post))

    def _finish(self, post: PendingPost, stored: "asyncio.Future[Any]") -> None:
        """Answer a result, whatever the connection has received since."""
        self._server_state.tasks.discard(stored)
        self._connection.finish(post, (self._answer(post, stored),))

    def _answer(self, post: PendingPost, stored: "asyncio.Future[Any]") -> bytes:
        """The whole answer, from the future that has ended; logged."""
        ids, access_log = self._services.request_ids, self._services.access_log
        number, refused = ids.begin_answer(self._server_state.default_headers), ""
        error = STOPPING if stored.cancelled() else stored.exception()
        if error is None:
            outcome, rest = _STORED, _ACKNOWLEDGEMENT
        else:
            status, headers, body, refused = refuse(error, ids.text(number))
            outcome = Outcome.of("POST", _PATH, _PATH, status, len(body))
            rest = header_lines(headers) + b"\r\n" + body
        took_s = time.monotonic() - post.began_at
        self._counters.count(outcome.status, took_s)
        if access_log.is_on:
            access_log.write(outcome, ids.text(number), took_s * 1000, refused)
        close = b"" if post.keep_alive else b"connection: close\r\n"
        return b"%b%b%b%06x\r\n%b" % (STATUS_LINE[outcome.status], close, ids.first_lines, number, rest)

    def log_disconnect(self) -> None:
        """Log the result that was being received when the client disconnected, as ASGI does."""
        if self.post is not None:
            ms = (time.monotonic() - self.post.began_at) * 1000
            outcome = Outcome.of("POST", _PATH, _PATH, 499, 0)
            self._services.access_log.write(outcome, self._services.request_ids.next(), ms)
