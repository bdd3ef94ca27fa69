"""The database's clock as this process knows it: steps of either wall clock change no receipt time and no answer."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchboard.store.postgres.clock import DatabaseClock

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


class Machine:
    """A machine whose clocks a test sets."""

    def __init__(self, wall_is_ahead_s: float = 0.0) -> None:
        self.uptime = 1000.0
        self.wall_is_ahead_s = wall_is_ahead_s
        self.clock = DatabaseClock(
            lambda: self.uptime, lambda: self.true + timedelta(seconds=self.wall_is_ahead_s)
        )

    @property
    def true(self) -> datetime:
        return NOON + timedelta(seconds=self.uptime)

    def measure(self, database_is_ahead_s: float = 0.0, took_s: float = 0.0) -> None:
        sent_at = self.uptime
        self.uptime += took_s / 2
        database_now = self.true + timedelta(seconds=database_is_ahead_s)
        self.uptime += took_s / 2
        self.clock.measure(database_now, sent_at, self.uptime)


def test_the_clock_is_the_wall_clock_before_the_first_measurement() -> None:
    machine = Machine(wall_is_ahead_s=-20)
    assert machine.clock.now() == machine.true - timedelta(seconds=20)
    assert machine.clock.age_s == float("inf")


@pytest.mark.parametrize("ahead_s", [-5400.0, -20.0, -0.2, 0.0, 0.2, 5400.0])
def test_a_wrong_wall_clock_changes_no_receipt_time(ahead_s: float) -> None:
    machine = Machine(wall_is_ahead_s=ahead_s)
    machine.measure()
    machine.uptime += 30
    assert machine.clock.now() == machine.true
    assert machine.clock.skew_s == pytest.approx(ahead_s)


@pytest.mark.parametrize("step_s", [-5400.0, 5400.0])
def test_a_step_of_the_wall_clock_after_a_measurement_changes_nothing(step_s: float) -> None:
    machine = Machine()
    machine.measure()
    machine.wall_is_ahead_s += step_s
    assert machine.clock.now() == machine.true
    assert machine.clock.skew_s == pytest.approx(step_s)


@pytest.mark.parametrize("step_s", [-5400.0, -3.0, 3.0, 5400.0])
def test_a_step_of_the_databases_clock_is_followed_at_the_next_measurement(step_s: float) -> None:
    machine = Machine()
    machine.measure()
    machine.measure(database_is_ahead_s=step_s)
    assert machine.clock.now() == machine.true + timedelta(seconds=step_s)
    assert machine.clock.skew_s == pytest.approx(-step_s)


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1)), min_size=1, max_size=30))
def test_measurements_of_any_duration_keep_the_clock_monotonic_and_within_bounds(
    measurements: list[tuple[float, float]],
) -> None:
    machine, last = Machine(), None
    for pause_s, took_s in measurements:
        machine.uptime += pause_s
        machine.measure(took_s=took_s)
        now = machine.clock.now()
        assert abs((now - machine.true).total_seconds()) <= measurements[0][1] / 2 + 1e-5
        assert last is None or now >= last - timedelta(microseconds=2)
        last = now


@pytest.mark.parametrize("took_s", [0.001, 0.5])
def test_processes_on_the_database_machine_agree_regardless_of_the_duration_of_measurements(
    took_s: float,
) -> None:
    """Results that one worker takes after another has theirs later receipt times."""
    one, other = Machine(), Machine()
    one.measure(took_s=took_s)
    other.measure()
    one.uptime = other.uptime = 2000.0
    assert one.clock.now() == other.clock.now() == one.true
