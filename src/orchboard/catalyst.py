"""Fetches transcoding regions from a Catalyst document (CATALYST_REGION_URL)."""

import msgspec
from msgspec import Struct, field

from orchboard.document import fetch_document
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
    return parse_catalyst_regions(fetch_document(url, timeout_s=timeout_s))


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
