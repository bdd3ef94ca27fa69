"""How far a standby is behind, in bytes and seconds."""

from orchboard.store.postgres.replay_lag import Lag, ReplayLag
from orchboard.store.postgres.wal_position import position_of


def test_the_lag_is_the_age_of_the_oldest_write_that_is_not_replayed() -> None:
    lag = ReplayLag()
    for second in range(5):
        lag.note_primary(position_of(1, 100 * second), 10.0 + second)
    lag.note_standby(position_of(1, 250), 15.0)
    assert lag.current == Lag(150, 2.0)


def test_an_idle_primary_makes_no_lag() -> None:
    lag = ReplayLag()
    lag.note_primary(position_of(1, 100), 10.0)
    lag.note_standby(position_of(1, 100), 5000.0)
    assert lag.current == Lag(0, 0.0)


def test_a_promotion_makes_no_lag_of_a_whole_timeline() -> None:
    lag = ReplayLag()
    lag.note_primary(position_of(2, 130), 10.0)
    lag.note_standby(position_of(1, 100), 10.5)
    assert lag.current == Lag(30, 0.5)
