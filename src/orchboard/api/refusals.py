"""Refusals in HTTP: the status of each error, and the JSON form of all of them."""

from collections.abc import Mapping

from msgspec import Struct
from starlette.responses import Response

from orchboard import limits
from orchboard.api.responses import json_now
from orchboard.errors import (
    BadInputError,
    BadTokenError,
    BodyTooLargeError,
    ClientBusyError,
    DatabaseUnavailableError,
    EncodedBodyError,
    KeyReusedError,
    NotAllowedError,
    NotAuthenticatedError,
    OverloadedError,
    Refusal,
    SetupError,
)

STATUS: dict[type[Refusal], int] = {
    BadInputError: 400,
    BadTokenError: 401,
    NotAuthenticatedError: 403,
    NotAllowedError: 403,
    BodyTooLargeError: 413,
    EncodedBodyError: 415,
    KeyReusedError: 422,
    ClientBusyError: 429,
    OverloadedError: 503,
    DatabaseUnavailableError: 503,
    SetupError: 503,
}

STOPPING = DatabaseUnavailableError("the server is stopping; try again")
"""The refusal of requests that a server can't complete before it stops."""

RETRY_AFTER = {"Retry-After": str(limits.RETRY_AFTER_S)}


class Error(Struct, frozen=True):
    """The body of every error.

    error -- a message for people; it names the member or parameter that is wrong
    """

    error: str


_HEADERS: dict[int, dict[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    413: {"Connection": "close"},
    415: {"Connection": "close", "Accept-Encoding": "identity"},
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}


def refusal_response(refusal: Refusal) -> Response:
    """The response to a request that was refused."""
    return error_response(STATUS[type(refusal)], public_message(refusal))


def public_message(refusal: Refusal) -> str:
    """The message that the client gets. It says nothing about how the server is set up."""
    if isinstance(refusal, SetupError):
        return "the server is not ready: its operator must correct its setup"
    return str(refusal)


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error: `{"error": message}`, never cached."""
    return json_now(Error(message), status, {**_HEADERS.get(status, {}), **(headers or {})})
