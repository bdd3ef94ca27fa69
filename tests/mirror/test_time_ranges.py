from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from orchboard.mirror.time_ranges import DAY_S, HOUR_S, SETTLED_S, TimeRange, grid_ranges
from orchboard.window import parse_bounds

NOW = 1_764_417_600
moments = st.integers(NOW - 5 * DAY_S, NOW)


@given(moments, st.integers(1, 4 * DAY_S), st.integers(0, 3 * DAY_S))
def test_a_grid_covers_what_was_asked_for_without_gaps_or_overlaps(
    since: int, length: int, later: int
) -> None:
    ranges = list(grid_ranges(since, since + length, now=NOW + later))
    assert ranges[0].since <= since and ranges[-1].until >= since + length
    assert all(earlier.until == after.since for earlier, after in pairwise(ranges))


@given(moments, moments, st.integers(0, 3 * DAY_S), st.integers(1, 3 * DAY_S))
def test_a_time_range_is_never_divided_later(since: int, other: int, earlier: int, later: int) -> None:
    before = list(grid_ranges(since, NOW + earlier, now=NOW + earlier))
    after = list(grid_ranges(other, NOW + earlier + later, now=NOW + earlier + later))
    for time_range in before:
        for one in after:
            apart = one.until <= time_range.since or time_range.until <= one.since
            assert apart or (one.since <= time_range.since and time_range.until <= one.until)


@given(st.integers(0, 6 * DAY_S))
def test_a_range_longer_than_an_hour_ended_long_ago(ago: int) -> None:
    for time_range in grid_ranges(NOW - ago - 1, NOW, now=NOW):
        assert time_range.seconds == HOUR_S or time_range.until <= NOW - SETTLED_S


@given(st.integers(0, 4 * 10**9), st.integers(1, DAY_S))
def test_consecutive_ranges_meet_to_the_microsecond(since: int, length: int) -> None:
    bounds = parse_bounds(**TimeRange(since, since + length).params)
    following = parse_bounds(**TimeRange(since + length, since + length + 1).params)
    assert bounds.until is not None and following.since is not None
    assert following.since - bounds.until == timedelta(microseconds=1)
