"""How far a standby is behind the primary, in bytes of WAL and in seconds."""

from collections import deque

from msgspec import Struct

from orchboard.store.postgres.wal_position import lsn_of

_SAMPLES = 1000


class Lag(Struct, frozen=True):
    """size -- WAL that is not replayed, in bytes; age_s -- age of the oldest that is not, in seconds"""

    size: int = 0
    age_s: float = 0.0


class ReplayLag:
    """Compares samples of the primary's position with what the standby has replayed.

    A standby's clock and the times in its WAL do not tell: both grow while the primary is idle.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[int, float]] = deque(maxlen=_SAMPLES)  # position and time, ascending
        self.current = Lag()

    def note_primary(self, position: int, at: float) -> None:
        """Record where the primary is. at -- time.monotonic seconds"""
        if not self._samples or position > self._samples[-1][0]:
            self._samples.append((position, at))

    def note_standby(self, replayed: int, now: float) -> None:
        """Record what the standby has replayed."""
        newest = self._samples[-1][0] if self._samples else 0
        while self._samples and self._samples[0][0] <= replayed:
            self._samples.popleft()
        oldest = self._samples[0][1] if self._samples else now
        self.current = Lag(max(lsn_of(newest) - lsn_of(replayed), 0), now - oldest)
