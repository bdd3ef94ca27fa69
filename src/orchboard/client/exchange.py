"""One request and its outcome: what the transports exchange with the rest of the client. No input or output."""

from collections.abc import Generator, Mapping
from typing import TypeAlias, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Request(Struct, frozen=True):
    """One attempt.

    target -- path and query
    deadline -- by `time.monotonic`, for connecting, sending and receiving together
    max_bytes -- limit of the decoded body of the answer
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    deadline: float
    max_bytes: int

    @property
    def content(self) -> bytes | None:
        """The body of a POST. None for other methods: they have no Content-Length, not even of 0."""
        return self.body if self.method == "POST" else None


class Response(Struct, frozen=True):
    """A complete answer. Names of headers are in lower case; the body is decoded."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


class Failure(Struct, frozen=True):
    """Why there is no complete answer.

    reason -- in words
    was_sent -- whether the server may have received the request
    """

    reason: str
    was_sent: bool
    is_timeout: bool = False
    is_tls_failure: bool = False
    is_too_large: bool = False


class Pause(Struct, frozen=True):
    """A wait before the next attempt."""

    seconds: float


Outcome: TypeAlias = Response | Failure

Steps: TypeAlias = Generator[Request | Pause, Outcome, T]
"""A call as a generator: its driver carries out each step, and sends in the outcome of a Request."""
