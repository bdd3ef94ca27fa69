"""What every call of the API is made of: a target, the attempts of its request, and a decoded answer."""

import sys
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TypeAlias, TypeVar
from urllib.parse import urlencode

from msgspec.structs import replace

from orchboard.client.answers import decode
from orchboard.client.attempts import Call, Policy, Server
from orchboard.client.exchange import Steps
from orchboard.client.headers import Headers
from orchboard.client.url import encode_target
from orchboard.errors import BadInputError

T = TypeVar("T")

Moment: TypeAlias = float | datetime
"""Unix seconds, or an aware datetime."""

MAX_ANSWER_BYTES = 1024 * 1024 * 1024
OK, HEALTH = (200,), (200, 503)
"""The statuses of an answer; those of a question after the server's health."""


class Requester:
    """Makes the requests of one client."""

    def __init__(self, server: Server, policy: Policy, *, secret: str, tester: str, user_agent: str) -> None:
        self._server = server
        self._policy = policy
        self._headers = Headers(secret=secret, tester=tester, user_agent=user_agent)

    def get(
        self,
        endpoint: str,
        params: Mapping[str, str | None] | None = None,
        *,
        timeout: float | None = None,
        answers: Collection[int] = OK,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Steps[bytes]:
        """The document of an endpoint in bytes, with everything that the server put into it.

        endpoint -- its name behind `/api/`
        params -- the query; None and empty values are left out
        answers -- the statuses whose body is returned; any other status is an error
        max_bytes -- limit of the body
        Raises ClientError.
        """
        path = target_of(encode_target(f"/api/{endpoint}"), params or {})
        call = self._call("GET", path, self._headers.plain, timeout, answers=answers, max_bytes=max_bytes)
        return (yield from call.steps()).body

    def timeout_s(self, timeout: float | None) -> float:
        """The limit of a call that is given another one or None."""
        return self._policy.timeout if timeout is None else timeout

    def stream_call(self, target: str, timeout: float | None) -> Call:
        """A GET whose answer may have any size."""
        return self._call("GET", target, self._headers.plain, timeout, max_bytes=sys.maxsize - 1)

    def _read(
        self,
        path: str,
        decode_body: Callable[[bytes], T],
        params: Mapping[str, str | None],
        timeout: float | None,
        *,
        answers: Collection[int] = OK,
        retries: int | None = None,
    ) -> Steps[T]:
        retries = 0 if answers is HEALTH else retries
        target = target_of(path, params)
        call = self._call("GET", target, self._headers.plain, timeout, answers=answers, retries=retries)
        return (yield from self._decoded(call, decode_body))

    def _decoded(self, call: Call, decode_body: Callable[[bytes], T]) -> Steps[T]:
        response = yield from call.steps()
        try:
            return decode_body(response.body)
        except ValueError as error:
            message = f"{self._server.url} did not answer as a leaderboard server does: {error}"
            raise call.refused(response, message) from None

    def _call(
        self,
        method: str,
        target: str,
        make_headers: Callable[[], Mapping[str, str]],
        timeout: float | None,
        *,
        retries: int | None = None,
        body: bytes = b"",
        key: str | None = None,
        answers: Collection[int] = OK,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Call:
        policy = self._policy if timeout is None else replace(self._policy, timeout=timeout)
        policy = policy if retries is None else replace(policy, max_retries=retries)
        return Call(
            self._server,
            policy,
            method,
            target,
            make_headers,
            body=body,
            key=key,
            answers=answers,
            max_bytes=max_bytes,
        )


def seconds_of(moment: Moment | None) -> str | None:
    """A parameter of a request. Raises BadInputError for a datetime without a zone."""
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise BadInputError("since and until are aware datetimes or Unix seconds")
        moment = moment.timestamp()
    return None if moment is None else str(moment)


def decoder_of(kind: type[T]) -> Callable[[bytes], T]:
    """A function that decodes a document of a type. It raises ValueError."""
    return lambda body: decode(body, kind)


def target_of(path: str, params: Mapping[str, str | None]) -> str:
    """A path and a query; None and empty values are left out."""
    query = urlencode({name: value for name, value in params.items() if value})
    return f"{path}?{query}" if query else path
