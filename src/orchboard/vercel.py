"""The entry point of Vercel's Python runtime: `app`, on the database of POSTGRES.

It runs in several instances that are frozen between requests: docs/decisions/0016-serverless.md.
"""

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchboard.app import app_from_environment

# Vercel's network may answer with what it knows for so long, instead of an instance. Readers that choose by scores then
# see a result at most so much later; without `stale-while-revalidate`, which would add as much again.
CDN_MAX_AGE_S = 5
_CDN_HEADER = (b"vercel-cdn-cache-control", b"public, max-age=%d" % CDN_MAX_AGE_S)


class ForCdn:
    """An application whose answers also tell Vercel's network how long it may keep them.

    Vercel obeys `Vercel-CDN-Cache-Control` before the other two headers, and does not pass it on: clients see the
    contract's `Cache-Control`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: list[Any] = list(message["headers"])
                if any(name == b"cdn-cache-control" for name, _ in headers):
                    message = {**message, "headers": [*headers, _CDN_HEADER]}
            await send(message)

        await self._app(scope, receive, tell)


app = ForCdn(app_from_environment(serverless=True))
