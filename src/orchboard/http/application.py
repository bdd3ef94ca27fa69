"""The ASGI application: normalised paths, errors in one form, one log line for each request."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote, unquote

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchboard import limits
from orchboard.answers.replies import MADE, Replies
from orchboard.api.endpoint import ApiContext, Endpoint
from orchboard.api.params import Params
from orchboard.api.refusals import STOPPING, error_response, public_message, refusal_response
from orchboard.api.request_counters import OTHER_ROUTES, RequestCounters
from orchboard.api.responses import preflight
from orchboard.api.trusted_proxies import Proxies
from orchboard.errors import NotAuthenticatedError, Refusal
from orchboard.http.access_log import AccessLog, Outcome, RequestIds
from orchboard.http.truncation import delimit, truncate
from orchboard.store.postgres.admission import set_client

log = structlog.get_logger(__name__)

_SLASHES = re.compile("//+")
# The % of an encoded / or %, and one that encodes nothing.
_STAYS_ENCODED = re.compile("%(?=2f|25|(?![0-9a-f]{2}))", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"\s*(text/html|application/json)\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?(?:,|$)")


# Maximum length of a path in the log.
_MAX_LOGGED_PATH = 256

# Requested every few seconds by monitoring. A 200 is not logged.
_UNLOGGED = frozenset({"/healthz", "/readyz", "/metrics", "/status"})

_MESSAGES = {404: "no such path", 405: "this path does not take that method"}

# Headers of a refusal that its page has, too.
_PAGE_HEADERS = ("Allow", "Retry-After")

_EVERY_METHOD = "GET, HEAD, POST, OPTIONS"


def api_route(endpoint: Endpoint, context: ApiContext, replies: Replies) -> Route:
    """The route of an endpoint."""
    query, handler = endpoint.query, endpoint.handler

    async def answer(request: Request) -> Response:
        if (made := request.scope.get(MADE)) is not None:
            response: Response = made
            return response
        if query is not None:
            in_path = {name: unquote(value) for name, value in request.path_params.items()}
            params = Params(request.scope["query_string"], in_path)
            return await replies.reply(request, query(params, context.board))
        assert handler is not None  # noqa: S101 - see Endpoint
        return await handler(request, context)

    return ApiRoute(endpoint.path, answer, methods=[endpoint.method], name=endpoint.name)


def _path_of(scope: Scope) -> str:
    """The path for the router, without trailing and doubled slashes. `/` and `%` that the client has encoded stay encoded: they
    belong to a parameter, which `api_route` decodes."""
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    path = unquote(_STAYS_ENCODED.sub("%25", raw.decode("latin-1")))
    return _SLASHES.sub("/", path).rstrip("/") or "/"


class ApiRoute(Route):
    """A route of the API. Its errors are JSON, also for browsers."""


class Application:
    """The routes, and what is common to all requests.

    Trailing and doubled slashes are accepted without a redirect. OPTIONS is answered on any path. A refusal has its status
    and a JSON body. An unexpected error is logged, and answered 500 without details.

    refused_page -- makes the page of a refusal, for browsers, which accept HTML, and paths outside the API
    """

    def __init__(
        self,
        routes: Sequence[BaseRoute],
        lifespan: ASGIApp,
        access_log: AccessLog,
        request_ids: RequestIds,
        counters: RequestCounters,
        proxies: Proxies,
        refused_page: Callable[[int, str, Mapping[str, str] | None], Response],
    ) -> None:
        self._router = Router(routes, redirect_slashes=False)
        self._lifespan = lifespan
        self._access_log = access_log
        self._request_ids = request_ids
        self._counters = counters
        self._proxies = proxies
        self._refused_page = refused_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. Scopes other than HTTP go to `lifespan`."""
        if scope["type"] != "http":
            await self._lifespan(scope, receive, send)
            return
        line = AccessLine(scope, delimit(scope, send), self._request_ids.next())
        set_client(self._proxies.client_of(scope))
        scope["path"] = _path_of(scope)
        scope["app"] = self  # makes the router raise HTTPException instead of answering in plain text
        try:
            if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > limits.MAX_TARGET_BYTES:
                raise HTTPException(414, f"path and query are over {limits.MAX_TARGET_BYTES} bytes")
            if scope["method"] == "OPTIONS":
                await preflight(_methods_of(self._router, scope))(scope, receive, line.send)
            else:
                await self._router(scope, receive, line.send)
        except ClientDisconnect:
            line.status = 499
        except asyncio.CancelledError:  # the server stops, and the time for requests is over
            if line.status:
                truncate(send)
                raise
            await self._refused(STOPPING, line)(scope, receive, line.send)
        except Exception as error:
            if line.status:
                self._truncate(error, line, send)
                return
            await self._refused(error, line)(scope, receive, line.send)
        finally:
            line.write(self._access_log, self._counters)

    def _truncate(self, error: Exception, line: "AccessLine", send: Send) -> None:
        """End an answer that has begun. Raises the error on another server than ours, which then closes the connection."""
        if isinstance(error, Refusal | TimeoutError):
            log.warning("answer cut short", error=str(error), request_id=line.request_id)
        else:
            log.exception("fault after the answer began", request_id=line.request_id)
        line.refused = "cut short"
        if not truncate(send):
            raise error

    def _refused(self, error: Exception, line: "AccessLine") -> Response:
        if isinstance(error, Refusal):
            line.refused = str(error)
            if isinstance(error, NotAuthenticatedError):
                line.client = self._proxies.client_of(line.scope)
            response, message = refusal_response(error), public_message(error)
        elif isinstance(error, HTTPException):
            message = _MESSAGES.get(error.status_code, error.detail)
            headers = {"Allow": _with_options(error.headers["Allow"])} if error.headers else None
            response = error_response(error.status_code, message, headers)
        else:
            log.exception("fault", request_id=line.request_id)
            message = "internal error"
            response = error_response(500, message)
        if not self._wants_page(line.scope):
            return response
        headers = {name: response.headers[name] for name in _PAGE_HEADERS if name in response.headers}
        return self._refused_page(response.status_code, message, headers)

    def _wants_page(self, scope: Scope) -> bool:
        """Whether a request is outside the API, and its client prefers HTML to JSON."""
        if any(
            isinstance(route, ApiRoute) and route.path_regex.match(scope["path"])
            for route in self._router.routes
        ):
            return False
        accepted = ",".join(Request(scope).headers.getlist("accept")).lower()
        weights: dict[str, float] = {}
        for media_type, weight in _MEDIA_TYPE.findall(accepted):
            weights.setdefault(media_type, float(weight or 1))
        return weights.get("text/html", 0.0) > weights.get("application/json", 0.0)


class AccessLine:
    """The log line of one request, completed while its answer is sent.

    client -- the client's address, which is logged for results without a valid signature only
    """

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self.request_id = request_id
        self.status = 0
        self.refused = ""
        self.client = ""
        self.scope = scope
        self._send = send
        self._bytes = 0
        self._began_at = time.monotonic()

    async def send(self, message: Message) -> None:
        """Send one ASGI message of the answer, and note status and length."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self.request_id.encode())]
        elif self.scope["method"] != "HEAD":
            self._bytes += len(message.get("body", b""))
        await self._send(message)

    def write(self, access_log: AccessLog, counters: RequestCounters) -> None:
        """Count the request, and write the line, at level info."""
        route = getattr(self.scope.get("route"), "path", OTHER_ROUTES)
        took_s = time.monotonic() - self._began_at
        counters.of(route).count(self.status, took_s)
        if access_log.is_on and not (route in _UNLOGGED and self.status == 200):
            outcome = Outcome.of(
                self.scope["method"], route, self.scope["path"][:_MAX_LOGGED_PATH], self.status, self._bytes
            )
            access_log.write(outcome, self.request_id, took_s * 1000, self.refused, self.client)


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
