"""Fetches a document that a setting names by its URL."""

import time
from urllib.parse import urlsplit

from orchboard import limits
from orchboard.client.exchange import Failure, Request
from orchboard.client.headers import USER_AGENT
from orchboard.client.transport import Transport
from orchboard.client.url import encode_target
from orchboard.errors import BadInputError


def fetch_document(url: str, *, timeout_s: float) -> bytes:
    """The body of the answer, at most MAX_DOCUMENT_BYTES. Blocks.

    timeout_s -- for the whole request
    Raises BadInputError if the URL is invalid, or the answer is not a 200.
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
                limits.MAX_DOCUMENT_BYTES,
            )
        )
    finally:
        server.close()
    if isinstance(answer, Failure):
        raise BadInputError(f"no answer: {answer.reason}")
    if answer.status != 200:
        raise BadInputError(f"status {answer.status}")
    return answer.body
