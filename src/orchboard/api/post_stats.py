"""POST /api/post_stats"""

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.authenticator import CREDENTIALS, Authenticator, Identity
from orchboard.api.responses import ok
from orchboard.api.verified_addresses import VerifiedAddresses
from orchboard.errors import (
    BodyTooLargeError,
    DatabaseUnavailableError,
    EncodedBodyError,
    NotAllowedError,
    NotAuthenticatedError,
    Refusal,
)
from orchboard.leaderboard import Leaderboard
from orchboard.results.parse import parse_stats
from orchboard.results.submission import Submission
from orchboard.store.connection.failures import NO_ANSWER

# Of a Content-Length: more than any has that the parser lets through.
_MAX_DIGITS = 25

# How much beyond the limit is read, and forgotten, so that its identity sees the answer.
DRAINED_BYTES = 32 * 1024 * 1024


class PostStats:
    """Stores one signed result; `ok` is answered when it is on the disk, committed or in the spool, and never otherwise.

    max_body_bytes -- a longer body is refused, and never held in memory
    limit_s -- how long storing may take until it is answered 503; None: as long as the store takes
    """

    def __init__(
        self,
        senders: Authenticator,
        signers: VerifiedAddresses,
        *,
        max_body_bytes: int,
        limit_s: float | None = None,
    ) -> None:
        self._limit_s = limit_s
        self._senders = senders
        self._signers = signers
        self.max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, board: Leaderboard) -> Response:
        """Read, check the signature on the raw bytes, store, acknowledge."""
        body = await self._read(request)
        headers: dict[bytes, bytes] = {}
        for name, value in request.headers.raw:
            if name in CREDENTIALS:
                headers.setdefault(name, value)
        try:
            async with asyncio.timeout(self._limit_s):
                identity = await self._senders.find(body, headers)
                self._signers.note(
                    self._signers.address_of(request.scope["client"], request.scope["headers"])
                )
                await board.store.submit(_submission(body, identity))
        except TimeoutError:
            raise DatabaseUnavailableError(NO_ANSWER) from None
        return ok()

    def begin(
        self, body: bytes, headers: Mapping[bytes, bytes], board: Leaderboard
    ) -> "asyncio.Future[Any] | None":
        """Begin to store a body; None when that takes more than memory, or it is not signed: nothing was begun.

        headers -- of CREDENTIALS, those that came
        """
        try:
            identity = self._senders.identify(body, headers)
            return board.store.submit(_submission(body, identity)) if identity else None
        except NotAuthenticatedError:
            return None
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
            if size <= limit and expected <= limit:
                body += chunk
                continue
            body.clear()
            if size > limit + DRAINED_BYTES:
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
        return 0, EncodedBodyError(
            f"Content-Encoding {encoding[:40]!r} is not supported: send the body uncompressed"
        )


def _submission(body: bytes, identity: Identity) -> Submission:
    """Parse an authenticated body, received now. Raises BadInputError, BodyTooLargeError, NotAllowedError."""
    parsed = parse_stats(body)
    tester = identity.tester
    if tester is not None and tester.regions is not None and parsed.region not in tester.regions:
        raise NotAllowedError(f"{tester.name} may not post results from region {parsed.region[:56]}")
    return Submission(
        parsed,
        key=identity.key,
        body_digest=None if identity.key is None else sha256(body).digest(),
        tester_id=None if tester is None else tester.id,
        submitted_at=asyncio.get_running_loop().time(),
    )


def parse_length(header: str) -> int:
    """The Content-Length, 0 when it is none; the parser has refused what is no number.

    int() raises ValueError for thousands of digits, and zeros in front are digits.
    """
    digits = header.lstrip("0")
    return int(digits) if digits.isdigit() and len(digits) < _MAX_DIGITS else 0
