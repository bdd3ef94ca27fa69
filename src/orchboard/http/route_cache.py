"""Ways of asking that led to an answer before: what was asked, byte for byte, and where it led."""

from orchboard.answers.answer import Answer, Variant
from orchboard.answers.cache import Entry
from orchboard.api.responses import header_lines
from orchboard.http.access_log import Outcome

# The ways of asking that are remembered, and how long one may be.
_TARGETS = 4096
_TARGET_BYTES = 1024

# The requests that are recognised as they stand, and how long one may be.
_REQUESTS = 2048
_REQUEST_BYTES = 1024


class CachedRoute:
    """A way of asking: where it leads, and the head of the answer that it led to last.

    The answer itself is its entry's alone: whatever leaves the cache is gone.

    route, path -- for the log
    head -- of that answer's 200, from behind the request id to the body
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
        """An answer as it goes out here; None when that takes more than memory."""
        variant = answer.made(self.encoding)
        if variant is None or answer.is_small is not self._is_small:
            return None
        if variant.etag is not self._etag:
            self._etag = variant.etag
            self.head = header_lines(variant.headers) + b"\r\n"
            self._outcomes.clear()
        return variant

    def outcome(self, method: bytes, status: int, size: int) -> Outcome:
        """For the log."""
        known = self._outcomes.get((method, status))
        if known is None:
            known = Outcome.of(method.decode(), self._route, self._path, status, size)
            self._outcomes[method, status] = known
        return known


class RouteCache:
    """Ways of asking, as many as there is room for.

    requests -- whole requests, byte for byte, with what parsing them led to: what to answer, method, If-None-Match
    """

    def __init__(self) -> None:
        self._by_target: dict[tuple[bytes, bytes], CachedRoute] = {}
        self.requests: dict[bytes, tuple[CachedRoute, bytes, bytes | None]] = {}

    def find(self, target: bytes, accept_encoding: bytes) -> CachedRoute | None:
        """What a way of asking led to, None when it is new."""
        return self._by_target.get((target, accept_encoding))

    def remember(
        self, target: bytes, accept_encoding: bytes, entry: Entry, encoding: str, *, route: str, path: str
    ) -> None:
        """Keep in mind what a way of asking led to. route, path -- for the log"""
        if entry.answer is None or len(target) + len(accept_encoding) > _TARGET_BYTES:
            return
        if len(self._by_target) >= _TARGETS:
            self._by_target.clear()
        self._by_target[target, accept_encoding] = CachedRoute(
            entry, encoding, entry.answer.is_small, route, path
        )

    def recognise(
        self, request: bytes, known: CachedRoute, method: bytes, if_none_match: bytes | None
    ) -> None:
        """Spare the parser this request the next time."""
        if len(request) <= _REQUEST_BYTES:
            if len(self.requests) >= _REQUESTS:
                self.requests.clear()
            self.requests[request] = known, method, if_none_match
