"""The database's clock, estimated without a query, which is the clock of receipt times and windows; and timestamps as Postgres
stores them: an integer of microseconds since 2000-01-01 UTC.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from orchboard.stats import Window
from orchboard.window import LATEST

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""That of Postgres."""
MICROSECOND = timedelta(microseconds=1)

SECOND = 1_000_000


def to_pg_time(when: datetime) -> int:
    """Microseconds since 2000-01-01 UTC of an aware datetime; negative before.

    >>> to_pg_time(datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (when - EPOCH) // MICROSECOND


def from_pg_time(pg_time: int) -> datetime:
    """The aware datetime, in UTC, of microseconds since 2000-01-01."""
    return EPOCH + pg_time * MICROSECOND


def round_down(moment: datetime, step: timedelta) -> datetime:
    """The last multiple of a step, counted from EPOCH, at or before a time."""
    return EPOCH + (moment - EPOCH) // step * step


log = structlog.get_logger(__name__)

# Minimum step of the database's clock, and minimum skew between the clocks, that is logged.
NOTABLE_S = 1.0

# A receipt time may be ahead of the database's clock by this and still counts as past.
TOLERANCE = timedelta(minutes=5)

# Maximum age of a measurement.
MAX_AGE_S = 60.0


class DatabaseClock:
    """Estimates the database's time from the last measurement and the monotonic clock of this machine.

    The wall clock of this machine is used only before the first measurement, because it may be wrong or stepped.

    monotonic -- monotonic seconds
    wall -- the wall clock of this machine
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._measured: tuple[datetime, float] | None = (
            None  # the database's time, and the monotonic time of the measurement
        )
        self._logged_skew_s = 0.0
        self._latest = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """The database's time, accurate to about half a round trip; before the first measurement, the wall clock's."""
        if self._measured is None:
            return self._wall()
        then, at = self._measured
        return then + timedelta(seconds=self._monotonic() - at)

    def horizon(self) -> datetime:
        """The end of a window without `until`. Results with a later receipt time have a date in the future.

        It never decreases: results that were stored before the database's clock was set back stay in the window.
        """
        return max(self.now(), self._latest) + TOLERANCE

    def end_of(self, window: Window) -> datetime:
        """The end of a window: its `until`, or the horizon if it has none."""
        return window.until if window.until < LATEST else self.horizon()

    def exclusive_end_of(self, window: Window) -> datetime:
        """The first receipt time after a window, whose end is inclusive."""
        return self.end_of(window) + MICROSECOND

    def note(self, moment: datetime) -> None:
        """Record a time that the database's clock has shown; the horizon includes it."""
        self._latest = max(self._latest, moment)

    @property
    def skew_s(self) -> float:
        """How far this machine's wall clock is ahead of the database's, in seconds; 0 before a measurement."""
        return (self._wall() - self.now()).total_seconds()

    @property
    def age_s(self) -> float:
        """Age of the last measurement, in seconds; infinite before the first."""
        return float("inf") if self._measured is None else self._monotonic() - self._measured[1]

    def measure(self, database_now: datetime, sent_at: float, received_at: float) -> None:
        """Record a measurement: the database's clock showed `database_now` between two times of the monotonic clock.

        At `received_at` the database's time is between `database_now` and that plus the round trip. If the wall clock is in
        this range, it is used, so that all processes on this machine agree. Otherwise the estimate is moved into the range by
        the smallest correction.
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
        """The wall clock's time at a recent time of the monotonic clock.

        Reads both clocks several times, because the process may be suspended between two readings.
        """
        between, wall = min(
            (self._monotonic() - began_at, wall - timedelta(seconds=began_at - moment))
            for began_at, wall in ((self._monotonic(), self._wall()) for _ in range(3))
        )
        return wall - timedelta(seconds=between / 2)

    def _log_skew(self) -> None:
        """Log a skew when it appears, changes by NOTABLE_S, or disappears."""
        skew_s = self.skew_s
        if abs(skew_s - self._logged_skew_s) >= NOTABLE_S:
            self._logged_skew_s = skew_s if abs(skew_s) >= NOTABLE_S else 0.0
            log.warning("this machine's clock differs from the database's", ahead_s=round(skew_s, 1))
