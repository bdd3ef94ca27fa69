"""How many connections a process has room for, and which is closed when there are more."""

import math
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from orchboard.api.verified_addresses import VerifiedAddresses

if TYPE_CHECKING:
    from orchboard.http.protocol import Protocol

# Refused connections that may linger to read why, beside those there is room for. Any more are closed at once.
LINGERING = 128

# Descriptors left to the rest of the process: database, files, the loop's own.
_OTHER_FILES = 128

# A connection that has waited for its client no longer than this is not closed: a good client's bytes are there at once.
_GRACE_S = 1.0

# Looking through all connections takes 4 ms for 4,096: no more often than this.
_LOOK_EVERY_S = 0.25

# The part of the connections for addresses that have signed.
_SIGNED_SHARE = 8

# An address with more than this part of the connections is a crowd.
_CROWD_SHARE = 64


class ConnectionLimiter:
    """Lets connections in, up to `limit`.

    When it is full, a connection that waits for its client gives way to the newest: for a head, for more of a head or a
    body, or for more of its answer to be taken. First go those of the address that holds most, if it is a crowd, then the
    longest waiting, last those of addresses that have signed a result; a part of the connections is for these alone.
    An address can't take the place of one that holds less. When nothing has waited for a second, the newest is refused.

    lingering -- connections that were refused: they hold no place
    """

    def __init__(self, limit: int, signers: VerifiedAddresses) -> None:
        self.limit = limit
        self._signers = signers
        self._reserved = limit // _SIGNED_SHARE
        self._waiting: list[tuple[bool, int, float, Protocol]] = []
        self._crowds: dict[str, int] = {}
        self._signed = 0
        self.lingering = 0
        self._looked_at = -math.inf

    def is_for(self, newcomer: "Protocol", connections: "Collection[Protocol]", now: float) -> bool:
        """Whether a new connection, one of these, may stay, made room for if need be. `now` is by the loop's clock."""
        is_signer = newcomer.address in self._signers
        limit = self.limit if is_signer else self.limit - self._reserved
        if len(connections) - self.lingering <= limit:
            return True
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._look(connections, now)
        own = self._crowds.get(newcomer.address, 0)
        while self._waiting:
            is_theirs, crowd, _, oldest = self._waiting[-1]
            since = oldest.waiting_since()
            if since == math.inf or oldest.has_unread():
                self._waiting.pop()
                continue
            if not self._may_take(is_theirs, crowd, is_signer, own, now - since):
                return False
            self._waiting.pop()
            oldest.give_way()
            return True
        return False

    def _may_take(self, is_theirs: bool, crowd: int, is_signer: bool, own: int, waited_s: float) -> bool:
        """Whether a newcomer may take a place of one that waits; `own` and `crowd` are what their addresses hold."""
        if is_theirs and not is_signer and self._signed <= self._reserved:
            return False
        if crowd < own and is_theirs >= is_signer:
            return False
        return waited_s > _GRACE_S or crowd > 2 * own

    def _look(self, connections: "Collection[Protocol]", now: float) -> None:
        """Find all that wait; the first to go is the last."""
        self._looked_at = now
        found = list(connections)
        least = self.limit // _CROWD_SHARE
        held = Counter(connection.address for connection in found)
        self._crowds = {address: count for address, count in held.items() if address and count > least}
        self._signed = sum(count for address, count in held.items() if address in self._signers)
        waiting = [
            (each.address in self._signers, self._crowds.get(each.address, 0), since, each)
            for each in found
            if (since := each.waiting_since()) < math.inf
        ]
        self._waiting = sorted(waiting, key=lambda each: (each[0], -each[1], each[2]))
        self._waiting.reverse()


def allow_files(connections: int, *, others: int) -> int:
    """How many connections the process may have, of those wanted, with its limit of open files raised to that.

    others -- descriptors that the process wants beside them
    """
    reserved = others + LINGERING + _OTHER_FILES
    with suppress(ImportError, OSError, ValueError):  # no such limits, or not ours to raise
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
