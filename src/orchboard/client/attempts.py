"""The attempts of one call: what is repeated, when, and which error ends it. No input or output."""

import random
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
from msgspec import Struct

from orchboard.client.errors import (
    ClientError,
    RefusedError,
    TooLargeError,
    UnavailableError,
    UnreachableError,
)
from orchboard.client.exchange import Failure, Outcome, Pause, Request, Response, Steps

POST_PATH = "/api/post_stats"

# A server that restarts, a proxy that reaches no server, a limit on the rate.
RETRIED = frozenset((429, 502, 503, 504))
# An answer to OPTIONS that does not show whether the server knows keys.
_SAYS_NOTHING = RETRIED | {500}
# The server did nothing, so a repetition stores nothing twice.
_UNSTORED = frozenset(range(300, 500))

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0


class Retry(Struct, frozen=True):
    """What `on_retry` gets before each retry.

    error -- the failure of the last attempt
    number -- of the retry: 1 for the first
    pause_s -- seconds until it
    left_s -- seconds until the client stops retrying
    """

    error: ClientError
    number: int
    pause_s: float
    left_s: float


class Policy(Struct, frozen=True):
    """How a client retries; see `Client` for the fields."""

    timeout: float
    max_retries: int | None
    retry_for: float | None
    on_retry: Callable[[Retry], None] | None
    on_kept_since: Callable[[datetime], None] | None = None


class Server:
    """What a client has learned about its server.

    url -- its base
    has_keys -- whether it stores a repeated idempotency key once; None: not known yet
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.has_keys: bool | None = None


class Call:
    """One call: a request that is repeated until it has an answer, or must not be repeated.

    make_headers -- called for each attempt: a signature may name the time
    answers -- the statuses of an answer
    key -- of a POST: its idempotency key; empty: without one. None: not a POST
    """

    def __init__(
        self,
        server: Server,
        policy: Policy,
        method: str,
        target: str,
        make_headers: Callable[[], Mapping[str, str]],
        *,
        body: bytes = b"",
        key: str | None = None,
        answers: Collection[int] = (200,),
        max_bytes: int,
    ) -> None:
        self._server = server
        self._policy = policy
        self._request = (method, target)
        self._make_headers = make_headers
        self._body = body
        self._key = key
        self._answers = answers
        self._max_bytes = max_bytes
        self._retry_for = (
            policy.timeout if policy.retry_for is None else min(policy.retry_for, policy.timeout)
        )
        self._may_be_stored = False
        self._retries = 0

    def steps(self) -> Steps[Response]:
        """The attempts and the pauses between them. Raises ClientError."""
        began_at = time.monotonic()
        self._deadline, self._retry_until = began_at + self._policy.timeout, began_at + self._retry_for
        while True:
            outcome = yield self._attempt(*self._request, self._make_headers(), self._body)
            if isinstance(outcome, Response) and outcome.status in self._answers:
                self._tell_kept_since(outcome)
                return outcome
            error = self._error(outcome)
            if not _is_repeatable(outcome) or (self._may_be_stored and self._is_without_key()):
                raise error
            yield self._pause(error, outcome)
            while self._may_be_stored and not (yield from self._has_keys()):
                if self._server.has_keys is False:
                    raise error
                yield self._pause(error, None)

    def _tell_kept_since(self, response: Response) -> None:
        kept_since = kept_since_of(response.headers)
        if self._policy.on_kept_since is not None and kept_since is not None:
            self._policy.on_kept_since(kept_since)

    def refused(self, response: Response, message: str) -> RefusedError:
        """The error for an answer that is not what was asked for."""
        error = RefusedError(message)
        error.status, error.request_id = response.status, response.headers.get("x-request-id", "")
        error.may_be_stored, error.idempotency_key = self._key is not None, self._key or ""
        return error

    def _attempt(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
        deadline = max(self._deadline, time.monotonic() + 0.01)
        return Request(method, target, headers, body, deadline, self._max_bytes)

    def _is_without_key(self) -> bool:
        return not self._key or self._server.has_keys is False

    def _has_keys(self) -> Steps[bool]:
        """Whether the server stores a repeated key once; it says so to OPTIONS. Learned once for each client.

        Without this a server that ignores keys, such as the Go server, could store a result twice.
        """
        if self._server.has_keys is None:
            outcome = yield self._attempt("OPTIONS", POST_PATH, {}, b"")
            if isinstance(outcome, Response) and outcome.status not in _SAYS_NOTHING:
                allowed = outcome.headers.get("access-control-allow-headers", "")
                self._server.has_keys = "idempotency-key" in allowed.lower()
        return bool(self._server.has_keys)

    def _pause(self, error: ClientError, outcome: Outcome | None) -> Pause:
        """The pause before the next attempt. Raises `error` when there is no next one."""
        longest_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, self._retry_for / 5))
        pause_s = min(FIRST_PAUSE_S * 2 ** min(self._retries, 10), longest_s)
        pause_s *= random.uniform(0.5, 1)  # noqa: S311 - spreads clients, no secret
        if isinstance(outcome, Response):
            pause_s = retry_after_s(outcome.headers) or pause_s
        left_s = self._retry_until - time.monotonic()
        is_last = self._policy.max_retries is not None and self._retries >= self._policy.max_retries
        if is_last or pause_s >= left_s:
            raise error
        self._retries += 1
        if self._policy.on_retry is not None:
            self._policy.on_retry(Retry(error, self._retries, pause_s, left_s))
        return Pause(pause_s)

    def _error(self, outcome: Outcome) -> ClientError:
        if self._key is not None:
            self._may_be_stored |= _may_be_stored(outcome)
        error = (
            self._error_of_response(outcome)
            if isinstance(outcome, Response)
            else self._error_of_failure(outcome)
        )
        error.may_be_stored, error.idempotency_key = self._may_be_stored, self._key or ""
        return error

    def _error_of_response(self, response: Response) -> ClientError:
        error: ClientError
        if response.status in RETRIED:
            error = UnavailableError(reason_of(response))
            error.retry_after_s = retry_after_s(response.headers)
        else:
            error = RefusedError(reason_of(response))
        error.status, error.request_id = response.status, response.headers.get("x-request-id", "")
        return error

    def _error_of_failure(self, failure: Failure) -> ClientError:
        if failure.is_too_large:
            return TooLargeError(f"the answer of {self._server.url} is over {self._max_bytes} bytes")
        message = f"no answer from {self._server.url}: {failure.reason}"
        error = UnreachableError(message + ("; it may be stored or not" if self._may_be_stored else ""))
        error.was_sent = failure.was_sent
        error.is_timeout, error.is_tls_failure = failure.is_timeout, failure.is_tls_failure
        return error


def _is_repeatable(outcome: Outcome) -> bool:
    if isinstance(outcome, Failure):
        return not outcome.is_too_large
    return outcome.status in RETRIED


def _may_be_stored(outcome: Outcome) -> bool:
    if isinstance(outcome, Failure):
        return outcome.was_sent
    return outcome.status not in _UNSTORED


def reason_of(response: Response) -> str:
    """Why a server did not give the answer: its own words, else its status."""
    try:
        document = msgspec.json.decode(response.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        document = {}
    error = document.get("error")
    if isinstance(error, str) and error:
        return error
    if 300 <= response.status < 400:
        return f"the server redirects to {response.headers.get('location')}: give that as the URL"
    return f"the server answered {response.status} {response.reason}".rstrip()


def kept_since_of(headers: Mapping[str, str]) -> datetime | None:
    """The time from which results are kept; None if the answer is complete."""
    try:
        moment = datetime.fromisoformat(headers.get("orchboard-kept-since", ""))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The seconds of Retry-After, which may be a date; None without one, or with one that cannot be read."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
