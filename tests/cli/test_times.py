"""Times as users write them."""

from datetime import UTC, datetime

import pytest

from orchboard.cli.times import parse_time
from orchboard.errors import BadInputError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("", ""),
        ("1727000000.5", "1727000000.5"),
        ("-1", "-1"),
        ("24h", "1772280000"),
        ("1.5d", "1772236800"),
        ("2026-01-31", "1769817600"),
        ("2026-01-31T00:00:00+01:00", "1769814000"),
    ],
)
def test_a_time_may_be_a_duration_a_date_or_seconds(written: str, seconds: str) -> None:
    assert parse_time("since", written, now=NOW) == seconds


@pytest.mark.parametrize("written", ["yesterday", "7 d", "2026-13-01", "999999999999d"])
def test_an_unreadable_time_is_refused_with_the_name_of_its_parameter(written: str) -> None:
    with pytest.raises(BadInputError, match="until must be 24h"):
        parse_time("until", written, now=NOW)
