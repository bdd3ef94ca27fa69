"""POST /api/post_stats"""

from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.responses import ok
from orchboard.errors import BadInputError, BodyTooLargeError, NotAuthenticatedError
from orchboard.leaderboard import Leaderboard
from orchboard.signing import is_signed

MAX_KEY = 255


class PostStats:
    """Stores one signed result; `ok` is answered after the commit and never otherwise.

    secret -- empty: every POST is refused
    max_body_bytes -- a longer body is refused before it is read to its end
    """

    def __init__(self, *, secret: str, max_body_bytes: int) -> None:
        self._secret = secret
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, board: Leaderboard) -> Response:
        """Read, check the signature on the raw bytes, store, acknowledge."""
        body = await self._read(request)
        if not is_signed(body, request.headers.get("authorization", "").strip(), self._secret):
            raise NotAuthenticatedError
        await board.post(body, key=parse_key(request.headers.get("idempotency-key", "")))
        return ok()

    async def _read(self, request: Request) -> bytes:
        announced = request.headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > self._max_body_bytes:
            raise self._too_large()
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._max_body_bytes:
                raise self._too_large()
        return bytes(body)

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"the body is over {self._max_body_bytes} bytes")


def parse_key(header: str) -> str | None:
    """The Idempotency-Key, None without one. Raises BadInputError when it is too long."""
    key = header.strip()
    if len(key) > MAX_KEY:
        raise BadInputError(f"Idempotency-Key is longer than {MAX_KEY} characters")
    return key or None
