"""Bounds on the memory of requests that have come in and are not answered yet, most of which is bodies.

A signature can't be checked before the body is there. So a part of the memory is for addresses that have signed before;
the rest is shared by all others: when it runs out, the largest body of the address that holds most gives way.
"""

import time
from typing import TYPE_CHECKING

import structlog
from starlette.responses import Response

from orchboard.api.refusals import error_response
from orchboard.api.verified_addresses import VerifiedAddresses

if TYPE_CHECKING:
    from orchboard.http.protocol import Protocol

log = structlog.get_logger(__name__)

# RequestMemory that may be under way from one address that has not signed. One that comes at once with its head is none.
MAX_UNSIGNED = 64

# The part of the memory for addresses that have not signed.
_UNSIGNED_SHARE = 4

# While bodies are refused, the log says so this often.
_LOG_EVERY_S = 60.0

_TOO_MANY = error_response(429, "too much is under way from this address; send one result after the other")
_NO_MEMORY = error_response(503, "too much is being received; try again")


class _Share:
    """What one address holds, in bytes."""

    __slots__ = ("bodies", "held", "is_signer", "parts", "promised")

    def __init__(self, *, is_signer: bool) -> None:
        self.is_signer = is_signer
        self.parts: set[MemoryUse] = set()
        self.bodies = self.held = self.promised = 0


class MemoryUse:
    """What one connection holds, in bytes.

    promised -- the length of its body as its head says it
    """

    __slots__ = ("connection", "is_body", "key", "promised", "size")

    def __init__(
        self, connection: "Protocol", key: tuple[str, bool], promised: int, *, is_body: bool
    ) -> None:
        self.connection = connection
        self.key = key
        self.promised = promised
        self.is_body = is_body
        self.size = 0


class RequestMemory:
    """The memory of one process for requests that come in.

    total -- bytes, at most; max_body -- of one body: at least two always fit
    """

    def __init__(self, signers: VerifiedAddresses, *, total: int, max_body: int) -> None:
        self._signers = signers
        self.max_body = max_body
        self._total = max(total, 2 * max_body)
        self._unsigned_total = max(self._total // _UNSIGNED_SHARE, max_body)
        self._shares: dict[tuple[str, bool], _Share] = {}
        self._held = self._unsigned_held = 0
        self._refused, self._log_at = 0, 0.0

    def begin(
        self, connection: "Protocol", address: str, promised: int, *, is_body: bool
    ) -> "MemoryUse | Response":
        """What the connection is to hold from now on, or how its request is refused.

        promised -- bytes; 0: that is not known
        """
        is_signer = address in self._signers
        key = address, is_signer
        share = self._shares.get(key) or _Share(is_signer=is_signer)
        promised = min(promised, self.max_body)
        if (
            is_body
            and not is_signer
            and (share.bodies >= MAX_UNSIGNED or share.promised + promised > self._unsigned_total)
        ):
            self._note_refusal(address)
            return _TOO_MANY
        held = MemoryUse(connection, key, promised, is_body=is_body)
        self._shares[key] = share
        share.parts.add(held)
        share.bodies += is_body
        share.promised += promised
        return held

    def resize(self, held: MemoryUse, size: int) -> None:
        """Note how much it is now. Whoever has too much is refused, perhaps this connection."""
        size = min(size, self.max_body)
        self._add(self._shares[held.key], size - held.size)
        held.size = size
        while self._unsigned_held > self._unsigned_total or self._held > self._total:
            self._crowd_out()

    def end(self, held: MemoryUse) -> None:
        """The connection holds nothing any more."""
        share = self._shares[held.key]
        share.parts.remove(held)
        share.bodies -= held.is_body
        share.promised -= held.promised
        self._add(share, -held.size)
        if not share.parts:
            del self._shares[held.key]

    def _add(self, share: _Share, size: int) -> None:
        share.held += size
        self._held += size
        if not share.is_signer:
            self._unsigned_held += size

    def _crowd_out(self) -> None:
        shares = [share for share in self._shares.values() if share.held and not share.is_signer]
        most = max(shares or self._shares.values(), key=lambda share: share.held)
        largest = max(most.parts, key=lambda held: held.size)
        self._note_refusal(largest.key[0])
        largest.connection.crowd_out(_NO_MEMORY)

    def _note_refusal(self, address: str) -> None:
        self._refused += 1
        if (now := time.monotonic()) >= self._log_at:
            log.warning("refused to receive more bodies", refused=self._refused, client=address)
            self._refused, self._log_at = 0, now + _LOG_EVERY_S
