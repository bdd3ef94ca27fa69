"""One answer: its body, ETag and headers, in the encodings that were asked for so far."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import TypeAlias

from xxhash import xxh3_128_hexdigest

from orchboard.answers.encodings import IDENTITY, WORTH_ENCODING_BYTES, encode

Headers = tuple[tuple[bytes, bytes], ...]
"""In ASGI's form: names in lower case."""

Pieces: TypeAlias = Callable[[], AsyncGenerator[bytes, None]]
"""Begins to make a body that is too large to be held, and gives it in pieces. Each may raise a Refusal."""

# More than this is encoded beside the loop: zstd takes 0.05 ms for it, gzip 0.8.
_ENCODED_AT_ONCE_BYTES = 32 * 1024


class Variant:
    """An answer in one encoding, as it goes out.

    headers -- of a 200; unchanged_headers -- of a 304
    """

    def __init__(self, body: bytes, etag: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.body = body
        self.etag = etag
        whole = ((b"etag", etag), (b"vary", b"Accept-Encoding"), *headers)
        self.headers: Headers = ((b"content-length", b"%d" % len(body)), *whole)
        self.unchanged_headers: Headers = tuple(
            (name, value) for name, value in whole if not name.startswith(b"content-")
        )


class Streamed:
    """A 200 whose body is too large to be held: it is made anew for each reader, and has no ETag.

    pieces -- begins to make it
    """

    def __init__(self, pieces: Pieces, headers: Headers) -> None:
        self.pieces = pieces
        self.headers: Headers = ((b"vary", b"Accept-Encoding"), *headers)


class Answer:
    """A 200: its body as computed, under `headers` that say what it is and how long it may be kept.

    is_small -- whether encoding it is not worth while
    """

    def __init__(self, body: bytes, headers: Headers) -> None:
        self.body = body
        self.is_small = len(body) < WORTH_ENCODING_BYTES
        self._headers = headers
        self._digest = xxh3_128_hexdigest(body)
        self._variants = {IDENTITY: self._variant(body, IDENTITY)}
        self._encoding: dict[str, asyncio.Task[bytes]] = {}

    @property
    def size(self) -> int:
        """Bytes of all its variants."""
        return sum(len(variant.body) for variant in self._variants.values())

    def made(self, encoding: str) -> Variant | None:
        """The variant in this encoding, None when it was not made yet."""
        return self._variants.get(encoding)

    async def variant(self, encoding: str) -> Variant:
        """The same, made once, however many ask."""
        known = self._variants.get(encoding)
        if known is None:
            if len(self.body) <= _ENCODED_AT_ONCE_BYTES:
                encoded = encode(self.body, encoding)
            else:
                encoded = await self._encoded_beside(encoding)
            known = self._variants.setdefault(encoding, self._variant(encoded, encoding))
        return known

    async def _encoded_beside(self, encoding: str) -> bytes:
        if encoding not in self._encoding:
            self._encoding[encoding] = asyncio.create_task(asyncio.to_thread(encode, self.body, encoding))
        return await asyncio.shield(self._encoding[encoding])

    def _variant(self, body: bytes, encoding: str) -> Variant:
        if encoding == IDENTITY:
            return Variant(body, f'"{self._digest}"'.encode(), self._headers)
        etag = f'"{self._digest}-{encoding}"'.encode()
        return Variant(body, etag, (*self._headers, (b"content-encoding", encoding.encode())))
