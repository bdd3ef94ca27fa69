"""Responses: what every answer of the API carries in its headers."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

ALLOWED_HEADERS = "Content-Type, Authorization, Idempotency-Key"

CACHE_CONTROL = "public, max-age=30, stale-while-revalidate=15"

_CORS = {"Access-Control-Allow-Origin": "*"}
_CACHED = {"Cache-Control": CACHE_CONTROL, **_CORS}
_NOT_CACHED = {"Cache-Control": "no-store", **_CORS}

_encode = msgspec.json.Encoder().encode


def json_answer(value: Any) -> Response:
    """200 with the value, to be cached as long as the contract says."""
    return json_text(_encode(value))


def json_text(text: bytes) -> Response:
    """The same, of JSON made already."""
    return Response(text, media_type="application/json", headers=_CACHED)


def json_now(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer about this moment, never cached."""
    return Response(
        _encode(value), status, media_type="application/json", headers={**_NOT_CACHED, **(headers or {})}
    )


def ok() -> Response:
    """The acknowledgement of a stored result: the body is exactly `ok`."""
    return Response(b"ok", media_type="text/plain", headers=_NOT_CACHED)


def preflight(methods: str) -> Response:
    """204 to OPTIONS."""
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
