"""The ASGI application: paths as clients write them, every error in the one shape, one log line a request."""

import re
import time
import uuid
from collections.abc import Sequence

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchboard.api.refusals import error_response, refusal_response
from orchboard.api.responses import preflight
from orchboard.api.routes import Endpoint, Handler
from orchboard.errors import Refusal
from orchboard.leaderboard import Leaderboard

log = structlog.get_logger("orchboard.access")

_SLASHES = re.compile("//+")
_EVERY_METHOD = "GET, HEAD, POST, OPTIONS"


def api_route(endpoint: Endpoint, handler: Handler, board: Leaderboard) -> Route:
    """A route that answers GET with HEAD, and whose handler is given the leaderboard."""

    async def answer(request: Request) -> Response:
        return await handler(request, board)

    return Route(endpoint.path, answer, methods=[endpoint.method], name=endpoint.name)


class Application:
    """Routes behind what holds for every request.

    Trailing and doubled slashes are accepted without a redirect, OPTIONS is answered on any path, every
    refusal has its status and the JSON shape, a fault is logged and says nothing of itself.
    """

    def __init__(self, routes: Sequence[BaseRoute], lifespan: ASGIApp) -> None:
        self._router = Router(routes, redirect_slashes=False)
        self._lifespan = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. Scopes other than HTTP go to `lifespan`."""
        if scope["type"] != "http":
            await self._lifespan(scope, receive, send)
            return
        line = AccessLine(scope, send)
        scope["path"] = _SLASHES.sub("/", scope["path"]).rstrip("/") or "/"
        scope["app"] = self  # the router then raises HTTPException instead of answering in plain text
        try:
            if scope["method"] == "OPTIONS":
                await preflight(_methods_of(self._router, scope))(scope, receive, line.send)
            else:
                await self._router(scope, receive, line.send)
        except ClientDisconnect:
            line.status = 499
        except Exception as error:
            if line.status:
                log.exception("fault after the answer began", request_id=line.request_id)
                raise
            await self._refused(error, line)(scope, receive, line.send)
        finally:
            line.write()

    def _refused(self, error: Exception, line: "AccessLine") -> Response:
        if isinstance(error, Refusal):
            line.refused = str(error)
            return refusal_response(error)
        if isinstance(error, HTTPException):
            message = {404: "no such path", 405: "this path does not take that method"}
            headers = {"Allow": _with_options(error.headers["Allow"])} if error.headers else None
            return error_response(error.status_code, message.get(error.status_code, error.detail), headers)
        log.exception("fault", request_id=line.request_id)
        return error_response(500, "internal error")


class AccessLine:
    """One request's line in the log, filled in as its answer goes by."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.request_id = uuid.uuid4().hex[:16]
        self.status = 0
        self.refused = ""
        self._scope = scope
        self._send = send
        self._bytes = 0
        self._began_at = time.perf_counter()

    async def send(self, message: Message) -> None:
        """Pass one message of the answer on, noting its status and length."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self.request_id.encode())]
        else:
            self._bytes += len(message.get("body", b""))
        await self._send(message)

    def write(self) -> None:
        """Log it, at info."""
        fields = {"refused": self.refused} if self.refused else {}
        log.info(
            "request",
            method=self._scope["method"],
            route=getattr(self._scope.get("route"), "path", "-"),
            path=self._scope["path"],
            status=self.status,
            ms=round((time.perf_counter() - self._began_at) * 1000, 2),
            bytes=self._bytes,
            request_id=self.request_id,
            **fields,
        )


def _methods_of(router: Router, scope: Scope) -> str:
    allowed = {
        method
        for route in router.routes
        if isinstance(route, Route) and route.path_regex.match(scope["path"])
        for method in route.methods or ()
    }
    return _with_options(", ".join(sorted(allowed))) if allowed else _EVERY_METHOD


def _with_options(allow: str) -> str:
    return ", ".join(sorted({*allow.split(", "), "OPTIONS"}))
