"""Responses with the headers that the contract requires."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from orchboard.answers.answer import Headers

ALLOWED_HEADERS = "Content-Type, Authorization, Idempotency-Key"

CACHE_CONTROL = "public, max-age=30, stale-while-revalidate=15"
CDN_CACHE_CONTROL = "public, s-maxage=30, stale-while-revalidate=15"

_CORS = {"Access-Control-Allow-Origin": "*"}
_EXPOSED = (b"access-control-expose-headers", b"Orchboard-Cursor, Orchboard-Kept-Since")
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
NOT_CACHED = {"Cache-Control": "no-store", **_CORS, **NO_SNIFFING}

JSON_HEADERS: Headers = (
    (b"cache-control", CACHE_CONTROL.encode()),
    (b"cdn-cache-control", CDN_CACHE_CONTROL.encode()),
    (b"access-control-allow-origin", b"*"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-type", b"application/json"),
)
"""The headers of every 200 to a GET that may be cached, by the contract."""


encode_json = msgspec.json.Encoder().encode


def with_media_type(media_type: str) -> Headers:
    """The same headers for another kind of body."""
    kept = (header for header in JSON_HEADERS if header[0] != b"content-type")
    return (*kept, (b"content-type", media_type.encode()))


def exposed(headers: Headers) -> Headers:
    """Headers of one answer, with the one that lets pages of other origins read them."""
    return (_EXPOSED, *headers) if headers else ()


def json_now(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response that must not be cached."""
    return Response(
        encode_json(value), status, media_type="application/json", headers={**NOT_CACHED, **(headers or {})}
    )


def text_now(body: bytes, media_type: str) -> Response:
    """A text response that must not be cached."""
    return Response(body, media_type=media_type, headers=NOT_CACHED)


def ok() -> Response:
    """The acknowledgement of a stored result: the body is exactly `ok`."""
    return Response(b"ok", media_type="text/plain", headers={"Cache-Control": "no-store", **NO_SNIFFING})


def preflight(methods: str) -> Response:
    """The 204 to OPTIONS."""
    return Response(
        status_code=204,
        headers={
            **_CORS,
            "Allow": methods,
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": "86400",
        },
    )
