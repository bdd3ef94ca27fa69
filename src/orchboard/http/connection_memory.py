"""What a connection holds in memory: received, and not answered yet."""

from typing import Any

from starlette.responses import Response

from orchboard.api.post_stats import parse_length
from orchboard.http.graceful_close import EndingProtocol
from orchboard.http.request_memory import MemoryUse, RequestMemory

# A connection that holds no more than this, and is not in a body, is not counted.
_LITTLE_BYTES = 4096


class HoldingProtocol(EndingProtocol):
    """A connection whose requests are counted into the memory of all, which may end it.

    Who inherits counts `_unanswered_bytes` up and keeps `_begun` and `_noted`.
    """

    # What was received and is not answered, beside a head that is not complete, and its part in the memory of all.
    _unanswered_bytes = 0
    _held: MemoryUse | None = None
    _bodies: RequestMemory | None = None

    # Whose connection it is, or on one of a trusted proxy whose request is held; else empty.
    address = ""
    _peer = ""

    # The last head of the read before, if that is not complete, from its request line at the latest.
    _begun = b""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._noted: dict[bytes, bytes] = {}

    def _count_held(self) -> None:
        """Count what is not answered into the memory of all, which may end this connection."""
        is_in_body = self._is_in_body()
        if not self._is_answering() and (not is_in_body or self._is_done()):
            self._unanswered_bytes = 0
        size = self._unanswered_bytes + len(self._begun)
        if self._bodies is None or (size <= _LITTLE_BYTES and not is_in_body):
            self._release()
            return
        if is_in_body and self._held is not None and not self._held.is_body:
            self._release()
        if self._held is None:
            self.address = self._address_of_request()
            promised = (
                parse_length(self._noted.get(b"content-length", b"0").decode("latin-1")) if is_in_body else 0
            )
            begun = self._bodies.begin(self, self.address, promised, is_body=is_in_body)  # type: ignore[arg-type] # as in _find_room
            if isinstance(begun, Response):
                self._end(begun)
                return
            self._held = begun
        self._bodies.resize(self._held, size)

    def _release(self) -> None:
        """Hold nothing any more."""
        if self._held is not None and self._bodies is not None:
            self._bodies.end(self._held)
            self._held = None
            self.address = self._peer

    def _close(self, words: bytes) -> None:
        self._release()
        super()._close(words)

    def crowd_out(self, response: Response) -> None:
        """Refuse the request that comes in: there is no memory for it."""
        self._release()
        if self._is_answering():
            self.transport.abort()
        else:
            self._end(response)

    def _address_of_request(self) -> str:
        """Whose request it is that came in last."""
        raise NotImplementedError

    def _is_done(self) -> bool:
        """Whether the request before this one is answered."""
        return self.cycle is None or self.cycle.response_complete
