"""Limits on the memory of requests that were received and are not answered yet. Most of it is bodies.

A signature can't be verified before the body is complete. Therefore only a quarter of the memory is open to addresses
that have not sent a valid signature; the rest is shared by all. When either is exhausted, the largest body of the
address that uses the most is refused.
"""

import time
from typing import Protocol

import structlog
from starlette.responses import Response

from orchboard import limits
from orchboard.api.refusals import error_response
from orchboard.api.verified_addresses import VerifiedAddresses

log = structlog.get_logger(__name__)


# The part of the memory for unverified addresses, as a divisor.
_UNVERIFIED_SHARE = 4

# Interval between log lines while bodies are being refused.
_LOG_EVERY_S = 60.0

_TOO_MANY = error_response(429, "too much is under way from this address; send one result after the other")
_NO_MEMORY = error_response(503, "too much is being received; try again")


class Connection(Protocol):
    """What the limits have to know of a connection."""

    def refuse_for_memory(self, response: Response) -> None:
        """Refuse the request that is being received."""


class _AddressUsage:
    """The memory that the requests of one address use, in bytes."""

    __slots__ = ("bodies", "is_verified", "parts", "promised", "used")

    def __init__(self, *, is_verified: bool) -> None:
        self.is_verified = is_verified
        self.parts: set[MemoryUse] = set()
        self.bodies = self.used = self.promised = 0


class MemoryUse:
    """The memory that the requests of one connection use, in bytes.

    promised -- the Content-Length of the body
    """

    __slots__ = ("connection", "is_body", "key", "promised", "size")

    def __init__(
        self, connection: Connection, key: tuple[str, bool], promised: int, *, is_body: bool
    ) -> None:
        self.connection = connection
        self.key = key
        self.promised = promised
        self.is_body = is_body
        self.size = 0


class RequestMemory:
    """The memory of one process for requests.

    total -- maximum, in bytes; max_body -- of one body: at least two always fit
    """

    def __init__(self, verified: VerifiedAddresses, *, total: int, max_body: int) -> None:
        self._verified = verified
        self.max_body = max_body
        self._total = max(total, 2 * max_body)
        self._unverified_total = max(self._total // _UNVERIFIED_SHARE, max_body)
        self._by_address: dict[tuple[str, bool], _AddressUsage] = {}
        self._used = self._unverified_used = 0
        self._refused, self._log_at = 0, 0.0

    def begin(
        self, connection: Connection, address: str, promised: int, *, is_body: bool
    ) -> MemoryUse | Response:
        """The usage of a connection from now on, or the refusal of its request.

        promised -- bytes; 0 when the length is not known
        """
        is_verified = address in self._verified
        key = address, is_verified
        usage = self._by_address.get(key) or _AddressUsage(is_verified=is_verified)
        promised = min(promised, self.max_body)
        if (
            is_body
            and not is_verified
            and (
                usage.bodies >= limits.MAX_UNAUTHENTICATED_BODIES
                or usage.promised + promised > self._unverified_total
            )
        ):
            self._note_refusal(address)
            return _TOO_MANY
        part = MemoryUse(connection, key, promised, is_body=is_body)
        self._by_address[key] = usage
        usage.parts.add(part)
        usage.bodies += is_body
        usage.promised += promised
        return part

    def resize(self, part: MemoryUse, size: int) -> None:
        """Set the size of a part. Refuses requests while a limit is exceeded, possibly this one."""
        size = min(size, self.max_body)
        self._add(self._by_address[part.key], size - part.size)
        part.size = size
        while self._unverified_used > self._unverified_total or self._used > self._total:
            self._refuse_largest()

    def end(self, part: MemoryUse) -> None:
        """The connection uses no memory any more."""
        usage = self._by_address[part.key]
        usage.parts.remove(part)
        usage.bodies -= part.is_body
        usage.promised -= part.promised
        self._add(usage, -part.size)
        if not usage.parts:
            del self._by_address[part.key]

    def _add(self, usage: _AddressUsage, size: int) -> None:
        usage.used += size
        self._used += size
        if not usage.is_verified:
            self._unverified_used += size

    def _refuse_largest(self) -> None:
        unverified = [usage for usage in self._by_address.values() if usage.used and not usage.is_verified]
        most = max(unverified or self._by_address.values(), key=lambda usage: usage.used)
        largest = max(most.parts, key=lambda part: part.size)
        self._note_refusal(largest.key[0])
        largest.connection.refuse_for_memory(_NO_MEMORY)

    def _note_refusal(self, address: str) -> None:
        self._refused += 1
        if (now := time.monotonic()) >= self._log_at:
            log.warning("refused to receive more bodies", refused=self._refused, client=address)
            self._refused, self._log_at = 0, now + _LOG_EVERY_S
