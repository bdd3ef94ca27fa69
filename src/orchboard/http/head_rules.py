"""Rules of RFC 9110 and 9112 for the head of a request that llhttp does not enforce."""

import re
from collections.abc import Sequence

from starlette.responses import Response

from orchboard.api.refusals import error_response

HOST = b"host"
TRANSFER_ENCODING = b"transfer-encoding"

UNKNOWN_METHOD = error_response(405, "unknown method", {"Allow": "GET, HEAD, POST, OPTIONS"})

# RFC 3986, `host [ ":" port ]`. The host may be empty in the header, but not in a URL.
_LITERAL = rb"\[(?:[0-9A-Fa-f:.]+(?:%25[\w.~%-]+)?|v[0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:-]+)\]"
_VISIBLE = rb"[\w.~!$&'()*+,;=-]*"
_NAME = _VISIBLE + b"(?:%[0-9A-Fa-f]{2}" + _VISIBLE + b")*"
_AUTHORITY = b"(?:" + _LITERAL + b"|" + _NAME + b")(?::[0-9]{0,5})?"
_HOST = re.compile(_AUTHORITY)
_ABSOLUTE = re.compile(b"(?i:https?)://(?![:/?#])" + _AUTHORITY + b"(?=[/?#]|$)")

_SLASH = ord("/")


class RejectedRequestError(Exception):
    """Stops the parser. The connection is closed after `response`, since it is not certain where the next request begins."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def check_head(
    method: bytes, target: bytes, version: str, hosts: Sequence[bytes], codings: Sequence[bytes]
) -> bytes:
    """Check a head and return its target, in which the empty path of an absolute URL is replaced by `/`.

    hosts, codings -- the values of all Host and Transfer-Encoding headers
    Raises RejectedRequestError.
    """
    if method == b"CONNECT":
        raise RejectedRequestError(UNKNOWN_METHOD)
    if version not in ("1.1", "1.0"):
        raise _malformed("HTTP/1.1 and HTTP/1.0 are spoken here")
    _check_host(hosts, version)
    if codings:
        _check_coding(codings, version)
    if target[0] == _SLASH:
        return target
    return _check_odd_target(method, target)


def _check_host(hosts: Sequence[bytes], version: str) -> None:
    if len(hosts) > 1:
        raise _malformed("there is more than one Host header")
    if hosts:
        if not _HOST.fullmatch(hosts[0].strip(b" \t")):
            raise _malformed("the Host header is malformed")
    elif version == "1.1":
        raise _malformed("the Host header is missing")


def _check_coding(fields: Sequence[bytes], version: str) -> None:
    """Allow `chunked` once and nothing else. llhttp rejects Content-Length beside it.

    RFC 9112 asks for 501 for an unknown coding, but the contract has no 5xx for any input.
    """
    if version == "1.0":
        raise _malformed("HTTP/1.0 has no Transfer-Encoding")
    if len(fields) > 1 or fields[0].strip(b" \t").lower() != b"chunked":
        raise _malformed("the only Transfer-Encoding taken is chunked")


def _check_odd_target(method: bytes, target: bytes) -> bytes:
    if target == b"*" and method == b"OPTIONS":
        return target
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        raise _malformed("the target of the request is malformed")
    start, rest = target[: absolute.end()], target[absolute.end() :]
    return target if rest.startswith(b"/") else start + b"/" + rest


def _malformed(message: str) -> RejectedRequestError:
    return RejectedRequestError(error_response(400, message))
