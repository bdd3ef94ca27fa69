"""The ASGI application: paths as clients write them, every error in the one shape, one log line a request."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchboard.answers.replies import Replies
from orchboard.api.endpoint import Endpoint, Handler, QueryHandler
from orchboard.api.params import Params
from orchboard.api.refusals import error_response, public_message, refusal_response
from orchboard.api.responses import preflight
from orchboard.api.trusted_proxies import Proxies
from orchboard.errors import DatabaseUnavailableError, NotAuthenticatedError, Refusal
from orchboard.http.access_log import AccessLog, Outcome, RequestIds
from orchboard.http.truncation import cut_short, delimited
from orchboard.leaderboard import Leaderboard
from orchboard.store.postgres.admission import set_client

log = structlog.get_logger(__name__)

_SLASHES = re.compile("//+")
_MEDIA_TYPE = re.compile(r"\s*(text/html|application/json)\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?(?:,|$)")
_STOPPED = DatabaseUnavailableError("the server is stopping; try again")
# Path and query as they were sent. The longest question there is, of two names of 256 characters that are
# written as 12 each, has 6,500.
MAX_TARGET_BYTES = 8192

# Of a path that leads nowhere.
_LOGGED = 256

# Asked every few seconds by whatever keeps the server running: well answered, they are worth no line.
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

_SAID_OF = {404: "no such path", 405: "this path does not take that method"}

_OF_PAGES_TOO = ("Allow", "Retry-After")

_EVERY_METHOD = "GET, HEAD, POST, OPTIONS"


def api_route(endpoint: Endpoint, handler: Handler, board: Leaderboard) -> Route:
    """A route whose handler is given the leaderboard."""

    async def answer(request: Request) -> Response:
        return await handler(request, board)

    return ApiRoute(endpoint.path, answer, methods=[endpoint.method], name=endpoint.name)


def cached_route(endpoint: Endpoint, ask: QueryHandler, board: Leaderboard, replies: Replies) -> Route:
    """A route that is answered from the answers that are kept."""

    async def answer(request: Request) -> Response:
        return await replies.reply(request, ask(Params(request.scope["query_string"]), board))

    return ApiRoute(endpoint.path, answer, methods=[endpoint.method], name=endpoint.name)


class ApiRoute(Route):
    """A route of the API: its errors are JSON, whoever asks."""


class Application:
    """Routes behind what holds for every request.

    Trailing and doubled slashes are accepted without a redirect, OPTIONS is answered on any path, every
    refusal has its status and the JSON shape, a fault is logged and says nothing of itself.

    refused_page -- the same refusal as a page, for browsers: outside the API, where they ask for HTML
    """

    def __init__(
        self,
        routes: Sequence[BaseRoute],
        lifespan: ASGIApp,
        access_log: AccessLog,
        request_ids: RequestIds,
        proxies: Proxies,
        refused_page: Callable[[int, str, Mapping[str, str] | None], Response],
    ) -> None:
        self._router = Router(routes, redirect_slashes=False)
        self._lifespan = lifespan
        self._access_log = access_log
        self._request_ids = request_ids
        self._proxies = proxies
        self._refused_page = refused_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. Scopes other than HTTP go to `lifespan`."""
        if scope["type"] != "http":
            await self._lifespan(scope, receive, send)
            return
        line = AccessLine(scope, delimited(scope, send), self._request_ids.next())
        set_client(self._proxies.client_of(scope))
        scope["path"] = _SLASHES.sub("/", scope["path"]).rstrip("/") or "/"
        scope["app"] = self  # the router then raises HTTPException instead of answering in plain text
        try:
            if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET_BYTES:
                raise HTTPException(414, f"path and query are over {MAX_TARGET_BYTES} bytes")
            if scope["method"] == "OPTIONS":
                await preflight(_methods_of(self._router, scope))(scope, receive, line.send)
            else:
                await self._router(scope, receive, line.send)
        except ClientDisconnect:
            line.status = 499
        except asyncio.CancelledError:  # the server stops, and has waited for as long as it may
            if line.status:
                cut_short(send)
                raise
            await self._refused(_STOPPED, line)(scope, receive, line.send)
        except Exception as error:
            if line.status:
                self._cut(error, line, send)
                return
            await self._refused(error, line)(scope, receive, line.send)
        finally:
            line.write(self._access_log)

    def _cut(self, error: Exception, line: "AccessLine", send: Send) -> None:
        """End half an answer. Raises the error where only the server can cut the connection."""
        if isinstance(error, Refusal | TimeoutError):
            log.warning("answer cut short", error=str(error), request_id=line.request_id)
        else:
            log.exception("fault after the answer began", request_id=line.request_id)
        line.refused = "cut short"
        if not cut_short(send):
            raise error

    def _refused(self, error: Exception, line: "AccessLine") -> Response:
        if isinstance(error, Refusal):
            line.refused = str(error)
            if isinstance(error, NotAuthenticatedError):
                line.client = self._proxies.client_of(line.scope)
            response, message = refusal_response(error), public_message(error)
        elif isinstance(error, HTTPException):
            message = _SAID_OF.get(error.status_code, error.detail)
            headers = {"Allow": _with_options(error.headers["Allow"])} if error.headers else None
            response = error_response(error.status_code, message, headers)
        else:
            log.exception("fault", request_id=line.request_id)
            message = "internal error"
            response = error_response(500, message)
        if not self._asks_for_a_page(line.scope):
            return response
        headers = {name: response.headers[name] for name in _OF_PAGES_TOO if name in response.headers}
        return self._refused_page(response.status_code, message, headers)

    def _asks_for_a_page(self, scope: Scope) -> bool:
        """Whether a request's path is not the API's, and its sender prefers HTML to JSON."""
        if any(isinstance(route, ApiRoute) and route.path == scope["path"] for route in self._router.routes):
            return False
        accepted = ",".join(Request(scope).headers.getlist("accept")).lower()
        weights: dict[str, float] = {}
        for media_type, weight in _MEDIA_TYPE.findall(accepted):
            weights.setdefault(media_type, float(weight or 1))
        return weights.get("text/html", 0.0) > weights.get("application/json", 0.0)


class AccessLine:
    """One request's line in the log, filled in as its answer goes by.

    client -- its address, where that is worth knowing: of a result that was not signed. Of nobody else it is logged
    """

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self.request_id = request_id
        self.status = 0
        self.refused = ""
        self.client = ""
        self.scope = scope
        self._send = send
        self._bytes = 0
        self._began_at = time.perf_counter()

    async def send(self, message: Message) -> None:
        """Pass one message of the answer on, noting its status and length."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self.request_id.encode())]
        elif self.scope["method"] != "HEAD":
            self._bytes += len(message.get("body", b""))
        await self._send(message)

    def write(self, access_log: AccessLog) -> None:
        """Log it, at info."""
        route = getattr(self.scope.get("route"), "path", "-")
        if access_log.is_on and not (route in _QUIET and self.status == 200):
            outcome = Outcome.of(
                self.scope["method"], route, self.scope["path"][:_LOGGED], self.status, self._bytes
            )
            ms = (time.perf_counter() - self._began_at) * 1000
            access_log.write(outcome, self.request_id, ms, self.refused, self.client)


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
