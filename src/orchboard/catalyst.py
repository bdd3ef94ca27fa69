"""Transcoding regions from a Catalyst document (CATALYST_REGION_URL)."""

import msgspec
import urllib3
from msgspec import Struct, field

from orchboard.errors import BadInputError
from orchboard.stats import JobType, Region

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
MAX_REGION = 56
MAX_DISPLAY_NAME = 128


class _Environment(Struct):
    full_name: dict[str, str] = field(default_factory=dict)


class _Document(Struct):
    prod: _Environment


def fetch_catalyst_regions(url: str, *, timeout_s: float) -> tuple[Region, ...]:
    """The regions of the production environment, region codes in upper case; blocks.

    timeout_s -- for connecting, and again for each wait for bytes
    Raises BadInputError saying what is wrong with the document or the answer.
    """
    try:
        with urllib3.PoolManager(retries=False, timeout=timeout_s) as pool:
            answer = pool.request("GET", url, preload_content=False, redirect=True)
            body = answer.read(MAX_DOCUMENT_BYTES + 1)
            answer.close()
    except urllib3.exceptions.HTTPError as error:
        raise BadInputError(f"no answer: {type(error).__name__}") from error
    if answer.status != 200:
        raise BadInputError(f"status {answer.status}")
    if len(body) > MAX_DOCUMENT_BYTES:
        raise BadInputError(f"over {MAX_DOCUMENT_BYTES} bytes")
    return parse_catalyst_regions(body)


def parse_catalyst_regions(body: bytes) -> tuple[Region, ...]:
    """The regions a document names; those whose code or name is blank or too long for the table are left out."""
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
