"""Requests as they are received: parsed by llhttp, checked by the rules of RFC 9110 and 9112 that it leaves out, and
limited in size."""

import re
from collections.abc import Callable, Sequence

import httptools
from starlette.responses import Response

from orchboard import limits
from orchboard.answers.answer import header_lines
from orchboard.api.authenticator import CREDENTIALS
from orchboard.api.refusals import error_response

_TOO_LONG = error_response(431, f"the head is over {limits.MAX_HEAD_BYTES} bytes")
_MALFORMED = error_response(400, "this is not a valid HTTP/1.1 request")
_UNKNOWN_METHOD = error_response(405, "unknown method", {"Allow": "GET, HEAD, POST, OPTIONS"})

ACCEPT_ENCODING = b"accept-encoding"
CONTENT_LENGTH = b"content-length"
IF_NONE_MATCH = b"if-none-match"
_HOST = b"host"
_TRANSFER_ENCODING = b"transfer-encoding"

# With one of these headers a GET has a body.
BODY = frozenset({CONTENT_LENGTH, _TRANSFER_ENCODING})
_UNUSUAL = frozenset({b"expect", b"content-encoding"})
_OF_INTEREST = BODY | _UNUSUAL | {_HOST, ACCEPT_ENCODING, IF_NONE_MATCH} | CREDENTIALS

_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r?\n")

# RFC 3986, `host [ ":" port ]`. The host may be empty in the header, but not in a URL.
_LITERAL = rb"\[(?:[0-9A-Fa-f:.]+(?:%25[\w.~%-]+)?|v[0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:-]+)\]"
_VISIBLE = rb"[\w.~!$&'()*+,;=-]*"
_NAME = _VISIBLE + b"(?:%[0-9A-Fa-f]{2}" + _VISIBLE + b")*"
_AUTHORITY = b"(?:" + _LITERAL + b"|" + _NAME + b")(?::[0-9]{0,5})?"
_HOST_VALUE = re.compile(_AUTHORITY)
_ABSOLUTE = re.compile(b"(?i:https?)://(?![:/?#])" + _AUTHORITY + b"(?=[/?#]|$)")

_SLASH = ord("/")


class RejectedRequestError(Exception):
    """Stops the parser. The connection is closed after `response`, since it is not certain where the next request begins."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class RequestReader:
    """Reads the requests of one connection.

    An offer to upgrade is declined, as HTTP allows: Java's client offers h2c with every POST.

    on_head -- called when a head is complete and valid; may raise RejectedRequestError
    on_body -- called with each piece of a body
    on_end -- called at the end of a request
    expects_head -- whether the parser is between two requests
    in_head -- whether it is in a head; in neither case it is in a body
    heads -- heads that began in the last read
    url, headers, fields -- of the current request: the target, all headers, and those of interest by name
    is_unusual -- whether a header of interest is repeated, or one of Expect and Content-Encoding was sent
    incomplete_head -- the last read from the beginning of an incomplete head, at the latest from its request line
    """

    def __init__(
        self,
        on_head: Callable[[], None],
        on_body: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self._on_head, self._on_body, self._on_end = on_head, on_body, on_end
        self._new_parser()
        self.expects_head = True
        self.in_head = False
        self.heads = 0
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.fields: dict[bytes, bytes] = {}
        self.is_unusual = False
        self.incomplete_head = b""
        self._head_bytes = 0
        self._framing_bytes = 0  # since the last piece of a body: chunk extensions, trailers
        self._declines_upgrade = False
        self._rejection: Response | None = None  # why a callback stopped the parser
        # What is being parsed, with an incomplete head of the last read, and how much of it belongs to request lines that
        # were found.
        self._raw = b""
        self._found = 0

    def _new_parser(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        # After `Connection: close` more requests may follow: those before them are answered.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def close(self) -> None:
        """Drop the parser and the callbacks: each keeps connection and reader in memory."""
        self._on_head = self._on_end = _nothing
        self._on_body = _discard
        self.parser = None  # type: ignore[assignment] # nothing is read any more

    @property
    def in_body(self) -> bool:
        """Whether the parser is in a body."""
        return not self.expects_head and not self.in_head

    @property
    def keeps_alive(self) -> bool:
        """Whether the current request is of HTTP/1.1 and leaves the connection open."""
        return bool(self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive())

    def feed(self, data: bytes) -> Response | None:
        """Parse what was received; the refusal when it is not valid or too long."""
        began_between = self.expects_head
        self.heads = 0
        self._framing_bytes += len(data)
        refusal = self._parse(data, began_between=began_between)
        if refusal is not None:
            return refusal
        is_all_one_head = not self.heads or (began_between and self.heads == 1)
        if self.in_head and is_all_one_head:
            self._head_bytes += len(data)
        size = self._head_bytes if self.in_head else self._framing_bytes
        return _TOO_LONG if size > limits.MAX_HEAD_BYTES and not self.expects_head else None

    def _parse(self, data: bytes, *, began_between: bool) -> Response | None:
        rest: bytes | memoryview = data
        self._raw = self.incomplete_head + data if self.incomplete_head else data
        self._found = 0
        try:
            while True:
                try:
                    self.parser.feed_data(rest)
                    break
                except httptools.HttpParserUpgrade as upgrade:  # llhttp leaves the rest to us, even a body
                    rest = memoryview(rest)[upgrade.args[0] :]
                    self._parse_without_upgrade()
        except httptools.HttpParserError as error:
            if len(self.url) >= limits.MAX_HEAD_BYTES:
                return _TOO_LONG
            head = data if began_between and self.heads == 1 else b""
            return self._rejection or _refusal_of(error, head)
        self.incomplete_head = self._raw[self._found :] if self.in_head else b""
        self._raw = b""
        if self.in_head and self.parser.get_http_version() == "0.9":  # or none: such a head has no end
            return _MALFORMED
        return None

    def _parse_without_upgrade(self) -> None:
        """Parse the last head again, without its offer to upgrade."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self._new_parser()
        self.heads -= 1
        headers = header_lines(tuple(header for header in self.headers if header[0] != b"upgrade"))
        self.parser.feed_data(b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version.encode(), headers))

    def on_message_begin(self) -> None:
        """llhttp: a request begins."""
        self.expects_head = False
        self.in_head = True
        self._head_bytes = 0
        self.heads += 1
        self.is_unusual = False
        self._declines_upgrade = False
        self.fields = {}
        self.url = b""
        self.headers = []

    def on_url(self, url: bytes) -> None:
        """llhttp: a piece of the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: a header, or a trailer, which is ignored."""
        if not self.in_head:
            return
        name = name.lower()
        self.headers.append((name, value))
        if name in _OF_INTEREST:
            if name in self.fields or name in _UNUSUAL:
                self.is_unusual = True
            self.fields[name] = value

    def on_headers_complete(self) -> None:
        """llhttp: a head is complete."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._declines_upgrade = True
        else:
            try:
                self._check_head()
                self._on_head()
            except RejectedRequestError as error:
                self._rejection = error.response
                raise
        self.in_head = False
        self._framing_bytes = 0

    def on_body(self, body: bytes) -> None:
        """llhttp: a piece of a body."""
        self._framing_bytes = 0
        self._on_body(body)

    def on_message_complete(self) -> None:
        """llhttp: the end of a request."""
        if not self._declines_upgrade:  # else the body is still to come
            self.expects_head = True
            self._on_end()

    def _check_head(self) -> None:
        """Check the head, and replace the empty path of an absolute URL by `/`. Raises RejectedRequestError."""
        method, version, target = self.parser.get_method(), self.parser.get_http_version(), self.url
        # llhttp accepts several spaces for one, and RTSP/1.0 and ICE/1.0 for HTTP/1.0.
        line = b"%b %b HTTP/%b\r\n" % (method, target, version.encode())
        at = self._raw.find(line, self._found)
        if at < 0:
            raise RejectedRequestError(_MALFORMED)
        self._found = at + len(line)
        if method == b"CONNECT":
            raise RejectedRequestError(_UNKNOWN_METHOD)
        if version not in ("1.1", "1.0"):
            raise _malformed("HTTP/1.1 and HTTP/1.0 are spoken here")
        _check_host(self._values(_HOST), version)
        if codings := self._values(_TRANSFER_ENCODING):
            _check_coding(codings, version)
        if target[0] != _SLASH:
            self.url = _check_odd_target(method, target)

    def _values(self, name: bytes) -> Sequence[bytes]:
        """The values of all headers of one name, a name of interest."""
        if name not in self.fields:
            return ()
        if not self.is_unusual:
            return (self.fields[name],)
        return [value for known, value in self.headers if known == name]


def _check_host(hosts: Sequence[bytes], version: str) -> None:
    if len(hosts) > 1:
        raise _malformed("there is more than one Host header")
    if hosts:
        if not _HOST_VALUE.fullmatch(hosts[0].strip(b" \t")):
            raise _malformed("the Host header is malformed")
    elif version == "1.1":
        raise _malformed("the Host header is missing")


def _check_coding(codings: Sequence[bytes], version: str) -> None:
    """Allow `chunked` once and nothing else. llhttp rejects Content-Length beside it.

    RFC 9112 asks for 501 for an unknown coding, but the contract has no 5xx for any input.
    """
    if version == "1.0":
        raise _malformed("HTTP/1.0 has no Transfer-Encoding")
    if len(codings) > 1 or codings[0].strip(b" \t").lower() != b"chunked":
        raise _malformed("the only Transfer-Encoding taken is chunked")


def _check_odd_target(method: bytes, target: bytes) -> bytes:
    """Check a target that is not a path, and return it with the path `/` for an empty one."""
    if target == b"*" and method == b"OPTIONS":
        return target
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        raise _malformed("the target of the request is malformed")
    start, rest = target[: absolute.end()], target[absolute.end() :]
    return target if rest.startswith(b"/") else start + b"/" + rest


def _malformed(message: str) -> RejectedRequestError:
    return RejectedRequestError(error_response(400, message))


def _refusal_of(error: httptools.HttpParserError, head: bytes) -> Response:
    """The refusal of what llhttp does not accept. head -- the beginning of the head, if it is known"""
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _REQUEST_LINE.match(head):
        return _UNKNOWN_METHOD
    return _MALFORMED


def _nothing() -> None:
    return None


def _discard(_: bytes) -> None:
    return None
