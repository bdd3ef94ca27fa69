"""An answer as it arrives: decoded, limited in size, and complete or not. No input or output."""

import zlib
from collections.abc import Sequence

from orchboard.client.exchange import Response

ACCEPT_ENCODING = "gzip"

# Makes zlib read the header and trailer of gzip.
_GZIP_WBITS = 31


class TooLargeBodyError(Exception):
    """The body is over its limit."""


class BrokenBodyError(Exception):
    """The body is not in the encoding that its header names, or ends too early."""


class ResponseReader:
    """Takes in the head and the chunks of one answer."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._body = bytearray()
        self._has_body = False

    def begin(self, status: int, headers: Sequence[tuple[bytes, bytes]], reason: bytes) -> None:
        """Take in the head. Raises BrokenBodyError."""
        self._status, self._reason = status, reason.decode("latin-1")
        self._headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
        encoding = self._headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip"):
            raise BrokenBodyError
        self._gzip = zlib.decompressobj(_GZIP_WBITS) if encoding == "gzip" else None

    def add(self, chunk: bytes) -> None:
        """Take in a chunk. Raises TooLargeBodyError, BrokenBodyError."""
        left = self._max_bytes - len(self._body)
        if self._gzip is not None:
            try:
                chunk = self._gzip.decompress(chunk, left + 1)
            except zlib.error:
                raise BrokenBodyError from None
        if len(chunk) > left:
            raise TooLargeBodyError
        self._has_body |= bool(chunk)
        self._body += chunk

    def take(self) -> bytes:
        """What has arrived since the last call. The limit of the body then counts anew."""
        taken = bytes(self._body)
        self._body.clear()
        return taken

    def head(self) -> Response:
        """The answer without its body."""
        return Response(self._status, self._reason, self._headers, b"")

    def end(self) -> Response:
        """The complete answer. Raises BrokenBodyError."""
        if self._gzip is not None and self._has_body and not self._gzip.eof:
            raise BrokenBodyError
        return Response(self._status, self._reason, self._headers, bytes(self._body))
