"""The maximum number of connections of a process, and which one is evicted for a new one."""

import math
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from typing import Protocol

from orchboard import limits
from orchboard.api.verified_addresses import VerifiedAddresses

# The part of the connections that is reserved for verified addresses, as a divisor.
_VERIFIED_SHARE = 8

# An address with more than this part of the connections is a crowd, as a divisor.
_CROWD_SHARE = 64


class Connection(Protocol):
    """What the limiter has to know of a connection."""

    @property
    def address(self) -> str:
        """The client's address; empty when it is not known."""

    def waiting_since(self) -> float:
        """Loop time since which the connection waits for its client; infinity when it does not."""

    def has_unread_input(self) -> bool:
        """Whether an idle client has sent something that was not read yet."""

    def evict(self) -> None:
        """Close the connection at once."""


class ConnectionLimiter:
    """Admits connections, up to `limit`.

    At the limit, a new connection evicts one that waits for its client: for a head, for more of a head or body, or for
    the client to read an answer. The order of eviction: first the connections of the address that has the most, if it
    is a crowd; then those that have waited longest; last those of verified addresses, for which a part of the
    connections is reserved. A connection can't evict one of an address that has fewer. If no connection has waited for
    longer than `grace_s`, the new one is refused.

    lingering -- refused connections that are still open; they don't count
    """

    def __init__(
        self, limit: int, verified: VerifiedAddresses, *, grace_s: float = limits.EVICTION_GRACE_S
    ) -> None:
        self.limit = limit
        self._verified = verified
        self._reserved = limit // _VERIFIED_SHARE
        self._grace_s = grace_s
        # Verified, size of the crowd, waiting since: the next to evict is the last.
        self._candidates: list[tuple[bool, int, float, Connection]] = []
        self._crowds: dict[str, int] = {}
        self._verified_count = 0
        self.lingering = 0
        self._scanned_at = -math.inf

    def admit(self, newcomer: Connection, connections: Collection[Connection], now: float) -> bool:
        """Whether a new connection, one of `connections`, may stay; evicts another if necessary. `now` is loop time."""
        is_verified = newcomer.address in self._verified
        limit = self.limit if is_verified else self.limit - self._reserved
        if len(connections) - self.lingering <= limit:
            return True
        if now - self._scanned_at >= limits.EVICTION_SCAN_INTERVAL_S:
            self._scan(connections, now)
        own_crowd = self._crowds.get(newcomer.address, 0)
        while self._candidates:
            is_candidate_verified, crowd, _, candidate = self._candidates[-1]
            since = candidate.waiting_since()
            if candidate is newcomer or since == math.inf or candidate.has_unread_input():
                self._candidates.pop()
                continue
            if is_candidate_verified and not is_verified and self._verified_count <= self._reserved:
                return False
            if crowd < own_crowd and is_candidate_verified >= is_verified:
                return False
            if now - since <= self._grace_s and crowd <= 2 * own_crowd:
                return False
            self._candidates.pop()
            candidate.evict()
            return True
        return False

    def _scan(self, connections: Collection[Connection], now: float) -> None:
        """Find all connections that wait, and order them for eviction."""
        self._scanned_at = now
        found = list(connections)
        threshold = self.limit // _CROWD_SHARE
        counts = Counter(connection.address for connection in found)
        self._crowds = {address: count for address, count in counts.items() if address and count > threshold}
        self._verified_count = sum(count for address, count in counts.items() if address in self._verified)
        candidates = [
            (each.address in self._verified, self._crowds.get(each.address, 0), since, each)
            for each in found
            if (since := each.waiting_since()) < math.inf
        ]
        candidates.sort(key=lambda each: (each[0], -each[1], each[2]), reverse=True)
        self._candidates = candidates


def reserve_files(connections: int, *, others: int) -> int:
    """How many of the wanted connections the process may open; raises its limit of open files as far as possible.

    others -- descriptors that the process needs besides
    """
    reserved = others + limits.MAX_LINGERING_CONNECTIONS + limits.RESERVED_FILES
    with suppress(
        ImportError, OSError, ValueError
    ):  # the system has no such limit, or does not let us raise it
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return connections
        if soft < connections + reserved:
            bound = connections + reserved if hard == resource.RLIM_INFINITY else hard
            soft = min(connections + reserved, bound)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, min(connections, soft - reserved))
    return connections
