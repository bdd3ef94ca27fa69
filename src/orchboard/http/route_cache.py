"""Routes of GETs that were answered before: from a target, or from the bytes of a whole request, to the cached answer."""

from starlette.types import Scope

from orchboard import limits
from orchboard.answers.answer import Answer, Variant, header_lines
from orchboard.answers.cache import Entry
from orchboard.http.access_log import Outcome


class CachedRoute:
    """Where a GET leads: to an entry of the answer cache, in one encoding.

    The answer itself belongs to the entry alone, so what the answer cache evicts is freed.

    route, path -- for the access log
    head -- of the entry's 200, from the end of the request id to the body
    """

    __slots__ = ("_etag", "_is_small", "_outcomes", "_path", "_route", "encoding", "entry", "head")

    def __init__(self, entry: Entry, encoding: str, is_small: bool, route: str, path: str) -> None:
        self.entry = entry
        self.encoding = encoding
        self.head = b""
        self._is_small = is_small
        self._route = route
        self._path = path
        self._etag = b""
        self._outcomes: dict[tuple[bytes, int], Outcome] = {}

    def variant_of(self, answer: Answer) -> Variant | None:
        """The answer in the route's encoding; None when it was not encoded yet, or another encoding may be right now."""
        variant = answer.made(self.encoding)
        if variant is None or answer.is_small is not self._is_small:
            return None
        if variant.etag is not self._etag:
            self._etag = variant.etag
            self.head = header_lines(variant.headers) + b"\r\n"
            self._outcomes.clear()
        return variant

    def outcome(self, method: bytes, status: int, size: int) -> Outcome:
        """The fields of the access log."""
        known = self._outcomes.get((method, status))
        if known is None:
            known = Outcome.of(method.decode(), self._route, self._path, status, size)
            self._outcomes[method, status] = known
        return known


class RouteCache:
    """The routes that one process has cached.

    by_request -- from a whole request, byte for byte, to the route, the method and If-None-Match
    by_target -- from target and Accept-Encoding to the route
    """

    def __init__(self) -> None:
        self.by_target: dict[tuple[bytes, bytes], CachedRoute] = {}
        self.by_request: dict[bytes, tuple[CachedRoute, bytes, bytes | None]] = {}

    def add(
        self, target: bytes, accept_encoding: bytes, entry: Entry, encoding: str, *, route: str, path: str
    ) -> None:
        """Cache the route of a target. route, path -- for the access log"""
        if entry.answer is None or len(target) + len(accept_encoding) > limits.MAX_CACHED_TARGET_BYTES:
            return
        if len(self.by_target) >= limits.MAX_CACHED_ROUTES:
            self.by_target.clear()
        self.by_target[target, accept_encoding] = CachedRoute(
            entry, encoding, entry.answer.is_small, route, path
        )

    def add_scope(self, scope: Scope, accept_encoding: str, entry: Entry, encoding: str) -> None:
        """Cache the route of an ASGI request."""
        if target := scope.get("raw_path") or b"":
            if scope["query_string"]:
                target += b"?" + scope["query_string"]
            route = getattr(scope.get("route"), "path", "-")
            accepted = accept_encoding.encode("latin-1")
            self.add(target, accepted, entry, encoding, route=route, path=scope["path"])

    def add_raw(self, request: bytes, route: CachedRoute, method: bytes, if_none_match: bytes | None) -> None:
        """Cache the route of a whole request."""
        if len(request) <= limits.MAX_CACHED_REQUEST_BYTES:
            if len(self.by_request) >= limits.MAX_CACHED_REQUESTS:
                self.by_request.clear()
            self.by_request[request] = route, method, if_none_match
