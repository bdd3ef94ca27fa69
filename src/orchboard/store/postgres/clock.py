"""The database's clock, read without asking the database: the one clock of receipt times and windows."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from orchboard.stats import Window
from orchboard.window import LATEST

log = structlog.get_logger(__name__)

# A step of the database's clock, or a skew between it and ours, is worth a line in the log from here on.
NOTABLE_S = 1.0

# How far ahead of the database's clock a receipt time may be and still count as the past.
TOLERANCE = timedelta(minutes=5)

# How old a measurement may get before it is repeated.
MAX_AGE_S = 60.0


class DatabaseClock:
    """Estimates the database's time from its last measurement and the monotonic clock of this machine.

    The wall clock of this machine is used only until the first measurement: it may be wrong, and it may be stepped.

    monotonic -- seconds that never go back
    wall -- this machine's time
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._measured: tuple[datetime, float] | None = None  # the database's time, and ours at that moment
        self._logged_skew_s = 0.0
        self._latest = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """The database's time, good to about half a round trip; this machine's before the first measurement."""
        if self._measured is None:
            return self._wall()
        then, at = self._measured
        return then + timedelta(seconds=self._monotonic() - at)

    def horizon(self) -> datetime:
        """Where a window without an end ends: what is received later than this was dated ahead by somebody.

        Never moves back: results that were stored before the database's clock was set back are still there.
        """
        return max(self.now(), self._latest) + TOLERANCE

    def end_of(self, window: Window) -> datetime:
        """Where a window ends: as it says, or at the horizon when it is open."""
        return window.until if window.until < LATEST else self.horizon()

    def note(self, moment: datetime) -> None:
        """Take note of a time that the database's clock has shown, now or before a step."""
        self._latest = max(self._latest, moment)

    @property
    def skew_s(self) -> float:
        """How far this machine's wall clock is ahead of the database's, in seconds; 0 before a measurement."""
        return (self._wall() - self.now()).total_seconds()

    @property
    def age_s(self) -> float:
        """How long ago it was measured, in seconds; infinity: never."""
        return float("inf") if self._measured is None else self._monotonic() - self._measured[1]

    def measure(self, database_now: datetime, sent_at: float, received_at: float) -> None:
        """Take in what the database's clock showed between two moments of the monotonic clock.

        At the second it is between that and as much later as both are apart. If this machine's wall clock is too, it is
        taken for the same clock, which all processes here then agree on. Else the estimate moves only as far as it has to.
        """
        self.note(database_now)
        earliest = database_now
        latest = database_now + timedelta(seconds=received_at - sent_at)
        before = self._measured
        wall = self._wall_at(received_at)
        middle = earliest + (latest - earliest) / 2
        estimate = middle if before is None else before[0] + timedelta(seconds=received_at - before[1])
        now = wall if earliest <= wall <= latest else max(earliest, min(estimate, latest))
        self._measured = now, received_at
        step_s = (now - estimate).total_seconds()
        if before is not None and abs(step_s) >= NOTABLE_S:
            log.warning("the database's clock was stepped", s=round(step_s, 1))
        self._log_skew()

    def _wall_at(self, moment: float) -> datetime:
        """What this machine's wall clock showed at a moment of the monotonic one, a little while ago.

        Read several times: a process may lose the processor between the two clocks.
        """
        between, wall = min(
            (self._monotonic() - began_at, wall - timedelta(seconds=began_at - moment))
            for began_at, wall in ((self._monotonic(), self._wall()) for _ in range(3))
        )
        return wall - timedelta(seconds=between / 2)

    def _log_skew(self) -> None:
        """Log a skew when it appears, changes notably, or is gone."""
        skew_s = self.skew_s
        if abs(skew_s - self._logged_skew_s) >= NOTABLE_S:
            self._logged_skew_s = skew_s if abs(skew_s) >= NOTABLE_S else 0.0
            log.warning("this machine's clock differs from the database's", ahead_s=round(skew_s, 1))
