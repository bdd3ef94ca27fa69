"""The address by which a reader reaches this server, for commands that are pasted into a shell."""

import re

from starlette.requests import Request

ORIGIN = "http://127.0.0.1:8080"
"""The default address of a server."""

# A Host header goes into lines that people paste into a shell.
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


def origin_of(request: Request) -> str:
    """Scheme and host of a request, as its sender and a proxy state them; ORIGIN when the host is malformed."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        return ORIGIN
    forwarded = request.headers.get("x-forwarded-proto", "").lower()
    return f"{'https' if 'https' in (forwarded, request.url.scheme) else 'http'}://{host}"
