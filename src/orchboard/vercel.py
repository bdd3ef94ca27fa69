"""The entry point of Vercel's Python runtime: `app`, on the database of POSTGRES.

Runs in several instances, which are suspended between requests: docs/decisions/0016-serverless.md.
"""

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchboard import limits
from orchboard.app import app_from_environment

# How long Vercel's network may answer from its cache. Readers see a new result at most this much later. Without
# `stale-while-revalidate`, which would double it.
_CDN_HEADER = (b"vercel-cdn-cache-control", b"public, max-age=%d" % limits.CDN_MAX_AGE_S)


class CdnCacheControl:
    """Middleware that adds `Vercel-CDN-Cache-Control` to responses with `CDN-Cache-Control`.

    Vercel prefers this header and removes it. Clients receive the `Cache-Control` of the contract.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""

        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: list[Any] = list(message["headers"])
                if any(name == b"cdn-cache-control" for name, _ in headers):
                    message = {**message, "headers": [*headers, _CDN_HEADER]}
            await send(message)

        await self._app(scope, receive, send_with_header)


app = CdnCacheControl(app_from_environment(serverless=True))
