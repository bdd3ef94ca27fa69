"""What the requests of one connection use of the process's memory, and on whose account."""

from starlette.responses import Response

from orchboard.api.post_stats import parse_length
from orchboard.api.verified_addresses import VerifiedAddresses
from orchboard.http.request_memory import Connection, MemoryUse, RequestMemory
from orchboard.http.request_parsing import CONTENT_LENGTH, RequestReader

# A connection that uses no more, and is not receiving a body, does not count.
_NEGLIGIBLE_BYTES = 4096


class ConnectionMemory:
    """The memory that one connection's requests use until they are answered.

    address -- the client's; on a connection of a trusted proxy empty, or that of the client whose request counts
    unanswered_bytes -- received and not answered, without an incomplete head
    use -- what counts at present; None: nothing
    """

    def __init__(
        self,
        memory: RequestMemory,
        verified: VerifiedAddresses,
        reader: RequestReader,
        client: tuple[str, int] | None,
    ) -> None:
        self._memory = memory
        self._verified = verified
        self._reader = reader
        self._client = client
        self._is_proxied = verified.is_proxy(client)
        self._peer = "" if self._is_proxied else verified.address_of(client, ())
        self._is_verified = False
        self.use: MemoryUse | None = None
        self.address = self._peer
        self.unanswered_bytes = 0

    def count(self, connection: Connection) -> Response | None:
        """Count what the connection uses now; the refusal of the current request when there is no memory for it."""
        reader = self._reader
        in_body = reader.in_body
        size = self.unanswered_bytes + len(reader.incomplete_head)
        if not in_body and size <= _NEGLIGIBLE_BYTES:
            self.release()
            return None
        if in_body and self.use is not None and not self.use.is_body:
            self.release()
        if self.use is None:
            self.address = self._address_of_request()
            length = reader.fields.get(CONTENT_LENGTH, b"0").decode("latin-1")
            promised = parse_length(length) if in_body else 0
            begun = self._memory.begin(connection, self.address, promised, is_body=in_body)
            if isinstance(begun, Response):
                return begun
            self.use = begun
        self._memory.resize(self.use, size)
        return None

    def release(self) -> None:
        """Count nothing any more."""
        if self.use is not None:
            self._memory.end(self.use)
            self.use = None
            self.address = self._peer

    def note_verified(self) -> None:
        """Remember that the current request has a valid signature."""
        if not self._is_verified:
            self._verified.note(self._address_of_request())
            self._is_verified = not self._is_proxied

    def _address_of_request(self) -> str:
        if not self._is_proxied:
            return self._peer
        return self._verified.address_of(self._client, self._reader.headers)
