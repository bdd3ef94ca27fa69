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
from orchboard.results.parse import parse_stats
from orchboard.results.submission import Submission
from orchboard.store.connection.failures import NO_ANSWER
from orchboard.store.store import Store

# Maximum number of digits in a Content-Length, more than the parser accepts: int() raises ValueError for thousands.
_MAX_DIGITS = 25

# How much of a refused body is read and discarded, beyond the limit, so that the client reads the refusal.
DRAINED_BYTES = 32 * 1024 * 1024


class PostStats:
    """Stores one signed result. The answer is `ok` if and only if the result is on disk, committed or in the spool.

    max_body_bytes -- a longer body is refused, and never held in memory
    limit_s -- how long storing may take until the answer is 503; None: no limit but the store's own
    """

    def __init__(
        self,
        store: Store,
        authenticator: Authenticator,
        verified: VerifiedAddresses,
        *,
        max_body_bytes: int,
        limit_s: float | None = None,
    ) -> None:
        self._store = store
        self._authenticator = authenticator
        self._verified = verified
        self._limit_s = limit_s
        self.max_body_bytes = max_body_bytes

    async def __call__(self, request: Request) -> Response:
        """Read the body, verify its signature, store it, acknowledge it."""
        body = await self._read(request)
        headers: dict[bytes, bytes] = {}
        for name, value in request.headers.raw:
            if name in CREDENTIALS:
                headers.setdefault(name, value)
        try:
            async with asyncio.timeout(self._limit_s):
                identity = await self._authenticator.find(body, headers)
                self._verified.note(
                    self._verified.address_of(request.scope["client"], request.scope["headers"])
                )
                await self._store.submit(_submission(body, identity))
        except TimeoutError:
            raise DatabaseUnavailableError(NO_ANSWER) from None
        return ok()

    def begin(self, body: bytes, headers: Mapping[bytes, bytes]) -> "asyncio.Future[Any] | None":
        """Submit a body if its signature can be verified without a database query; None: nothing was submitted.

        headers -- those of CREDENTIALS, which the request has
        """
        try:
            identity = self._authenticator.identify(body, headers)
            return self._store.submit(_submission(body, identity)) if identity else None
        except NotAuthenticatedError:
            return None
        except Refusal as refusal:
            refused: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            refused.set_exception(refusal)
            return refused

    async def _read(self, request: Request) -> bytes:
        """The body. A refused body is read and discarded as far as that is reasonable, before the refusal is raised.

        A simple client sends everything before it reads; if the connection were closed meanwhile, it would not see why.
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
        """The maximum size of a body with this Content-Encoding, and the refusal of a larger one.

        Encoded bodies are refused whatever their size: the decoded size has no limit, and no tester compresses.
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
    """The Content-Length; 0 for a value that is not a length. Leading zeros are digits, too."""
    digits = header.lstrip("0")
    return int(digits) if digits.isdigit() and len(digits) < _MAX_DIGITS else 0
