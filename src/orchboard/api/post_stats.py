"""POST /api/post_stats"""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.responses import ok
from orchboard.errors import (
    BadInputError,
    BodyTooLargeError,
    EncodedBodyError,
    NotAuthenticatedError,
    Refusal,
)
from orchboard.leaderboard import Leaderboard
from orchboard.signing import is_signed

MAX_KEY = 255

# Of a Content-Length: more than any has that the parser lets through.
_MAX_DIGITS = 25

# How much beyond the limit is read, and forgotten, so that its sender sees the answer.
DRAINED_BYTES = 32 * 1024 * 1024


class PostStats:
    """Stores one signed result; `ok` is answered after the commit and never otherwise.

    secret -- empty: every POST is refused
    max_body_bytes -- a longer body is refused, and never held in memory
    """

    def __init__(self, *, secret: str, max_body_bytes: int) -> None:
        self._secret = secret
        self.max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, board: Leaderboard) -> Response:
        """Read, check the signature on the raw bytes, store, acknowledge."""
        body = await self._read(request)
        if not is_signed(body, request.headers.get("authorization", "").strip(), self._secret):
            raise NotAuthenticatedError
        await board.post(body, key=parse_key(request.headers.get("idempotency-key", "")))
        return ok()

    def begin(
        self, body: bytes, authorization: str, key: str, board: Leaderboard
    ) -> "asyncio.Future[Any] | None":
        """Begin to store a body; None when it is not signed, and nothing was begun."""
        if not is_signed(body, authorization.strip(), self._secret):
            return None
        try:
            return board.submit(body, key=parse_key(key))
        except Refusal as refusal:
            refused: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            refused.set_exception(refusal)
            return refused

    async def _read(self, request: Request) -> bytes:
        """The body. One that is refused is thrown away as it comes, as far as that is worth it.

        A simple client sends everything before it reads: cut off in the middle, it never sees the refusal.
        """
        expected = parse_length(request.headers.get("content-length", "0"))
        waits = request.headers.get("expect", "").lower() == "100-continue"
        limit, refusal = self._limit_of(request.headers.get("content-encoding", ""))
        if expected > limit + DRAINED_BYTES or (waits and expected > limit):
            raise refusal
        body, size = bytearray(), 0
        async for chunk in request.stream():
            size += len(chunk)
            if size <= limit:
                body += chunk
            elif size > limit + DRAINED_BYTES:
                raise refusal
        if size > limit:
            raise refusal
        return bytes(body)

    def _limit_of(self, encoding: str) -> tuple[int, Refusal]:
        """How much of a body is taken in, and what a longer one is told. Of an encoded one nothing is.

        What would come out of it has no bound, and no tester compresses.
        """
        if encoding.strip().lower() in ("", "identity"):
            return self.max_body_bytes, BodyTooLargeError(f"the body is over {self.max_body_bytes} bytes")
        return 0, EncodedBodyError(f"Content-Encoding {encoding[:40]!r} is not taken: send the body as it is")


def parse_length(header: str) -> int:
    """The Content-Length, 0 when it is none; the parser has refused what is no number.

    int() raises ValueError for thousands of digits, and zeros in front are digits.
    """
    digits = header.lstrip("0")
    return int(digits) if digits.isdigit() and len(digits) < _MAX_DIGITS else 0


def parse_key(header: str) -> str | None:
    """The Idempotency-Key, None without one. Raises BadInputError when it is too long."""
    key = header.strip()
    if len(key) > MAX_KEY:
        raise BadInputError(f"Idempotency-Key is longer than {MAX_KEY} characters")
    return key or None
