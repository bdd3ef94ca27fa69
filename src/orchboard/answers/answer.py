"""One answer: its body, ETag and headers, in each content encoding that was requested so far; the choice of an encoding."""

import asyncio
import gzip
import re
import zlib
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from functools import lru_cache, partial
from typing import NamedTuple, TypeAlias

import brotli  # type: ignore[import-untyped] # it has no types
import zstandard
from xxhash import xxh3_128_hexdigest

from orchboard import limits

IDENTITY = "identity"

# Cheapest to make and smallest first: of a realistic 57 kB answer zstd-1 makes 15.0 kB in 0.10 ms, brotli-4
# 15.7 kB in 0.63 ms, gzip-6 17.3 kB in 1.35 ms.
_BY_PREFERENCE = ("zstd", "br", "gzip", IDENTITY)

_LEVELS = {"zstd": 1, "br": 4, "gzip": 6}

# The weight of identity when Accept-Encoding does not name it: allowed, but after every encoding that is named.
_UNNAMED_IDENTITY = 0.0001

_ITEM = re.compile(r"\s*([!#$%&'*+.^_`|~0-9a-z-]+)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")


# Clients send a few tens of bytes. Longer headers are not cached, so that no client can fill the memory.
_REMEMBERED_CHARACTERS = 200

Headers = tuple[tuple[bytes, bytes], ...]
"""In ASGI's form: names in lower case."""

Pieces: TypeAlias = Callable[[], AsyncGenerator[bytes, None]]
"""Makes a body that is too large for memory, piece by piece. Each piece may raise a Refusal."""


class RepeatableBody(NamedTuple):
    """A body that is made piece by piece, any number of times, from what is in memory.

    digest -- equal for equal bodies only; size -- memory that `pieces` holds, in bytes
    """

    pieces: Pieces
    digest: str
    size: int


class HeadedBody(NamedTuple):
    """A body with headers beside those of its query."""

    body: bytes | Pieces | RepeatableBody
    headers: Headers


AnyBody: TypeAlias = bytes | Pieces | RepeatableBody | HeadedBody
"""What a computation returns."""


# Its columns are compressed.
_PARQUET = (b"content-type", b"application/vnd.apache.parquet")

_ETAG = re.compile(r'(?:W/)?("[^"]*")')


class Reply(NamedTuple):
    """The parts of a response. status -- 200 or 304; body -- Pieces of a streamed answer"""

    status: int
    headers: Headers
    body: bytes | Pieces


def header_lines(headers: Headers) -> bytes:
    """Headers as they are sent, without the empty line at the end."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


class Variant:
    """An answer in one encoding.

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

    def reply(self, if_none_match: str, age: Headers = ()) -> Reply:
        """A 304 if If-None-Match contains the ETag, or is `*`; a 200 otherwise. age -- the headers of a stale answer"""
        if if_none_match.strip() == "*" or self.etag.decode() in _ETAG.findall(if_none_match):
            return Reply(304, (*self.unchanged_headers, *age), b"")
        return Reply(200, (*self.headers, *age), self.body)


class Streamed:
    """A 200 whose body is too large for memory: it is made for each request.

    body -- without an ETag if it is not repeatable
    """

    def __init__(self, body: Pieces | RepeatableBody, headers: Headers) -> None:
        self._repeatable = body if isinstance(body, RepeatableBody) else None
        self.pieces = body.pieces if isinstance(body, RepeatableBody) else body
        self.headers: Headers = ((b"vary", b"Accept-Encoding"), *headers)

    @property
    def size(self) -> int | None:
        """Memory that it holds, in bytes; None if it can't be repeated."""
        return None if self._repeatable is None else self._repeatable.size

    def reply(self, accept_encoding: str, if_none_match: str, age: Headers = ()) -> Reply:
        """A 304 if If-None-Match contains the ETag, or is `*`; a 200 in an accepted encoding otherwise.

        age -- the headers of a stale answer
        """
        encoding = choose_encoding(accept_encoding, is_small=False)
        if _PARQUET in self.headers:
            encoding = IDENTITY
        headers = (*self._etag(encoding), *self.headers, *age)
        tags = [value.decode() for name, value in headers if name == b"etag"]
        if if_none_match.strip() == "*" or set(tags) & set(_ETAG.findall(if_none_match)):
            return Reply(304, tuple(header for header in headers if header[0] != b"content-type"), b"")
        if encoding == IDENTITY:
            return Reply(200, headers, self.pieces)
        headers = (*headers, (b"content-encoding", encoding.encode()))
        return Reply(200, headers, lambda: encode_pieces(self.pieces(), encoding))

    def _etag(self, encoding: str) -> Headers:
        return () if self._repeatable is None else ((b"etag", _etag_of(self._repeatable.digest, encoding)),)


def _etag_of(digest: str, encoding: str) -> bytes:
    return f'"{digest}"'.encode() if encoding == IDENTITY else f'"{digest}-{encoding}"'.encode()


class Answer:
    """A 200: its body as computed, and headers with its type and how long it may be cached.

    is_small -- whether the body is too small for encoding to pay
    """

    def __init__(self, body: bytes, headers: Headers) -> None:
        self.body = body
        self.is_small = len(body) < limits.MIN_ENCODED_BYTES
        self.headers = headers
        self._digest = xxh3_128_hexdigest(body)
        self._variants = {IDENTITY: self._variant(body, IDENTITY)}
        self._encoding: dict[str, asyncio.Task[bytes]] = {}

    @property
    def size(self) -> int:
        """The size of all its variants, in bytes."""
        return sum(len(variant.body) for variant in self._variants.values())

    def made(self, encoding: str) -> Variant | None:
        """The variant in an encoding; None when it was not made yet."""
        return self._variants.get(encoding)

    async def variant(self, encoding: str) -> Variant:
        """The variant in an encoding, made once for all concurrent requests."""
        known = self._variants.get(encoding)
        if known is None:
            if len(self.body) <= limits.MAX_INLINE_ENCODING_BYTES:
                encoded = encode(self.body, encoding)
            else:
                encoded = await self._encode_in_thread(encoding)
            known = self._variants.setdefault(encoding, self._variant(encoded, encoding))
        return known

    async def _encode_in_thread(self, encoding: str) -> bytes:
        if encoding not in self._encoding:
            self._encoding[encoding] = asyncio.create_task(asyncio.to_thread(encode, self.body, encoding))
        return await asyncio.shield(self._encoding[encoding])

    def _variant(self, body: bytes, encoding: str) -> Variant:
        etag = _etag_of(self._digest, encoding)
        if encoding == IDENTITY:
            return Variant(body, etag, self.headers)
        return Variant(body, etag, (*self.headers, (b"content-encoding", encoding.encode())))


AnyAnswer: TypeAlias = Answer | Streamed
"""A 200, whole or streamed."""


def choose_encoding(accept_encoding: str, *, is_small: bool) -> str:
    """The encoding for an Accept-Encoding header; identity when it forbids all that we have.

    `*` stands for gzip and identity, because a client that sends it may not know the newer encodings. A small body is
    encoded only for a client that forbids identity.

    >>> choose_encoding("gzip, br;q=0.5", is_small=False)
    'gzip'
    """
    parse = _parse if len(accept_encoding) > _REMEMBERED_CHARACTERS else _parse_once
    weights = parse(accept_encoding)
    if is_small and weights[IDENTITY] > 0:
        return IDENTITY
    best = max(_BY_PREFERENCE, key=lambda coding: weights[coding])
    return best if weights[best] > 0 else IDENTITY


def _parse(header: str) -> dict[str, float]:
    named: dict[str, float] = {}
    for item in header.lower().split(","):
        if match := _ITEM.fullmatch(item):
            coding = {"x-gzip": "gzip"}.get(match[1], match[1])
            named.setdefault(coding, min(1.0, float(match[2] or 1)))
    others = named.get("*", 0.0)
    return {
        "zstd": named.get("zstd", 0.0),
        "br": named.get("br", 0.0),
        "gzip": named.get("gzip", others),
        IDENTITY: named.get(IDENTITY, others if "*" in named else _UNNAMED_IDENTITY),
    }


_parse_once = lru_cache(maxsize=256)(_parse)


def encode(body: bytes, encoding: str) -> bytes:
    """The body in an encoding other than identity. Deterministic."""
    level = _LEVELS[encoding]
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level).compress(body)
    if encoding == "br":
        return bytes(brotli.compress(body, quality=level))
    return gzip.compress(body, level, mtime=0)


class _Encoder(NamedTuple):
    """Encodes a body piece by piece. flush -- returns what is buffered; finish -- returns that and the end"""

    encode: Callable[[bytes], bytes]
    flush: Callable[[], bytes]
    finish: Callable[[], bytes]


async def encode_pieces(pieces: AsyncGenerator[bytes, None], encoding: str) -> AsyncGenerator[bytes, None]:
    """A body in pieces, in an encoding other than identity. The first piece is returned at once.

    At the lowest levels: of 11 MB of rows zstd-1 made 15 % in 2 ms for each MB, brotli-1 17 % in 5 ms, gzip-1 20 % in 7 ms,
    gzip-6 18 % in 15 ms. Reading and rendering such rows takes 15 ms for each MB.
    """
    async with aclosing(pieces):
        encoder, is_first = _encoder(encoding), True
        async for piece in pieces:
            encoded = encoder.encode(piece)
            del piece  # frees it while the client reads the encoded one
            if is_first:
                encoded += encoder.flush()
                is_first = False
            if encoded:
                yield encoded
        yield encoder.finish()


def _encoder(encoding: str) -> _Encoder:
    if encoding == "zstd":
        zstd = zstandard.ZstdCompressor(1).compressobj()
        return _Encoder(zstd.compress, partial(zstd.flush, zstandard.COMPRESSOBJ_FLUSH_BLOCK), zstd.flush)
    if encoding == "br":
        br = brotli.Compressor(quality=1, lgwin=18)
        return _Encoder(br.process, br.flush, br.finish)
    gz = zlib.compressobj(1, wbits=31)
    return _Encoder(gz.compress, partial(gz.flush, zlib.Z_SYNC_FLUSH), gz.flush)
