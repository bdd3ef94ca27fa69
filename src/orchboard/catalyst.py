"""Fetches transcoding regions from a Catalyst document (CATALYST_REGION_URL)."""

import time
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field

from orchboard import limits
from orchboard.client.exchange import Failure, Request
from orchboard.client.headers import USER_AGENT
from orchboard.client.transport import Transport
from orchboard.client.url import encode_target
from orchboard.errors import BadInputError
from orchboard.stats import JobType, Region

MAX_REGION = 56
MAX_DISPLAY_NAME = 128


class _Environment(Struct):
    full_name: dict[str, str] = field(default_factory=dict)


class _Document(Struct):
    prod: _Environment


def fetch_catalyst_regions(url: str, *, timeout_s: float) -> tuple[Region, ...]:
    """The regions of the production environment, with region codes in upper case. Blocks.

    timeout_s -- for the whole request
    Raises BadInputError if the URL, the response or the document is invalid.
    """
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    try:
        server = Transport(f"{parts.scheme}://{parts.netloc}")
    except ValueError as error:
        raise BadInputError(f"not a URL: {error}") from None
    try:
        answer = server.send(
            Request(
                "GET",
                encode_target(target),
                {"User-Agent": USER_AGENT},
                b"",
                time.monotonic() + timeout_s,
                limits.MAX_CATALYST_BYTES,
            )
        )
    finally:
        server.close()
    if isinstance(answer, Failure):
        raise BadInputError(f"no answer: {answer.reason}")
    if answer.status != 200:
        raise BadInputError(f"status {answer.status}")
    return parse_catalyst_regions(answer.body)


def parse_catalyst_regions(body: bytes) -> tuple[Region, ...]:
    """The regions of a document, except those whose code or name is empty or too long for the table."""
    try:
        named = msgspec.json.decode(body, type=_Document).prod.full_name
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInputError(f"not a Catalyst document: {error}") from None
    return tuple(
        Region(code.strip().upper(), name, JobType.TRANSCODING)
        for code, name in named.items()
        if 0 < len(code.strip()) <= MAX_REGION
        and 0 < len(name) <= MAX_DISPLAY_NAME
        and "\x00" not in code + name
    )
