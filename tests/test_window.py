"""since and until."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchboard.errors import BadInputError
from orchboard.window import EARLIEST, LATEST, parse_bounds, parse_moment

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def window(since: str = "", until: str = "") -> tuple[datetime, datetime]:
    found = parse_bounds(since, until).window(now=NOW, default=DAY)
    return found.since, found.until


def test_neither_is_the_default_window() -> None:
    assert window() == (NOW - DAY, LATEST)


def test_a_window_without_until_has_no_end() -> None:
    assert window(since="1") == (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), LATEST)


def test_only_until_is_everything_before_it() -> None:
    assert window(until="1727000000.5") == (EARLIEST, datetime(2024, 9, 22, 10, 13, 20, 500000, tzinfo=UTC))


def test_a_clock_that_is_ahead_does_not_turn_until_now_into_the_future() -> None:
    assert window(until=str((NOW + timedelta(minutes=10)).timestamp()))[0] == EARLIEST


def test_an_until_far_ahead_bounds_nothing_yet() -> None:
    ahead = NOW + timedelta(hours=2)
    assert window(until=str(ahead.timestamp())) == (NOW - DAY, ahead)


def test_since_after_until_is_kept_as_it_is() -> None:
    since, until = window(since="200", until="100")
    assert since > until


@pytest.mark.parametrize(
    "text",
    [
        "1e309",
        "-1e309",
        "+nan",
        "infinit",
        "ınf",
        "0x10",
        "1_000",
        "١",
        " 5",
        "5 ",
        "+ 5",
        "1e",
        "1,5",
        "",
        "\x00",
        "9" * 500,
    ],
)
def test_a_bound_that_is_not_a_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadInputError, match=r"until must be a number"):
        parse_moment("until", text)
    if text:
        with pytest.raises(BadInputError, match=r"until must be a number"):
            window(since="NaN", until=text)


@pytest.mark.parametrize("text", ["inf", "Inf", "+inf", "INFINITY", "infinity"])
def test_an_infinite_bound_is_clamped(text: str) -> None:
    assert window(since=f"-{text.lstrip('+')}", until="5")[0] == EARLIEST
    assert window(since="5", until=text)[1] == LATEST


@pytest.mark.parametrize(
    ("since", "until"), [("NaN", ""), ("", "nan"), ("1", "NAN"), ("NaN", "5"), ("NaN", "NaN")]
)
def test_a_window_with_nan_is_empty_at_any_time(since: str, until: str) -> None:
    bounds = parse_bounds(since, until)
    found = bounds.window(now=NOW, default=DAY)
    assert found.since > found.until
    assert not bounds.is_sliding(NOW)


@pytest.mark.parametrize("text", [".5", "5.", "+5", "-0", "00012", "1E9", "1e-300"])
def test_every_usual_spelling_of_a_number_is_read(text: str) -> None:
    assert parse_moment("since", text).timestamp() == pytest.approx(float(text), abs=1e-6)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_finite_number_is_a_moment_a_database_can_hold(seconds: float) -> None:
    assert EARLIEST <= parse_moment("since", repr(seconds)) <= LATEST
