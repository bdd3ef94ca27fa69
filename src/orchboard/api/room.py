"""How many connections a process has room for, and who leaves when there are more."""

import math
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchboard.api.protocol import Protocol

# Refused connections that may linger to read why, beside those there is room for. Any more are cut off.
LINGERING = 128

# Descriptors left to the rest of the process: database, files, the loop's own.
_OTHER_FILES = 128

# Who has waited for a head no longer than this is not sent away: a good client's is there at once.
_GRACE_S = 1.0

# Looking through all connections for those that may leave takes 1 ms for 4,096: no more often than this.
_LOOK_EVERY_S = 0.25


class Room:
    """Lets connections in, up to `limit`.

    When it is full, the connection that has waited longest for a head, or for the rest of one, gives way to the
    newest: a client that keeps a connection open between requests loses nothing by it. When none has waited for a
    second, it is the newest that is refused.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._waiting: list[Protocol] = []
        self._looked_at = -math.inf

    def is_for(self, connections: "Iterable[Protocol]", now: float) -> bool:
        """Whether one more may stay, made room for if need be. `now` is by the loop's clock."""
        if not self._waiting and now - self._looked_at > _LOOK_EVERY_S:
            self._looked_at = now
            found = [(connection.waiting_since(), connection) for connection in connections]
            found = [each for each in found if each[0] < now - _GRACE_S]
            self._waiting = [connection for _, connection in sorted(found, key=lambda each: -each[0])]
        while self._waiting:
            oldest = self._waiting.pop()
            if oldest.waiting_since() < now - _GRACE_S:
                oldest.transport.abort()
                return True
        return False


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
