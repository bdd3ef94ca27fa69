"""The URL by which a client reaches this server, for the commands in documents."""

import re

from starlette.requests import Request

ORIGIN = "http://127.0.0.1:8080"
"""The default address of a server."""

# The Host header becomes part of commands that people paste into a shell.
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


def origin_of(request: Request) -> str:
    """Scheme and host of a request, by its Host and X-Forwarded-Proto headers; ORIGIN when the host is malformed."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        return ORIGIN
    forwarded = request.headers.get("x-forwarded-proto", "").lower()
    return f"{'https' if 'https' in (forwarded, request.url.scheme) else 'http'}://{host}"
