"""Buckets follow the local clock, also on days when it is changed."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from orchboard.analytics.buckets import BUCKET_SIZES, bucket_starts, divide, fit, most_buckets, parse_zone
from orchboard.errors import BadInputError
from orchboard.reports.history import BucketSize
from orchboard.stats import Window

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def lengths(since: datetime, until: datetime, size: BucketSize, zone: str) -> list[timedelta]:
    return [end - start for start, end in pairwise(bucket_starts(since, until, size, parse_zone(zone)))]


def test_days_begin_at_local_midnight_and_have_23_or_25_hours_when_the_clock_is_changed() -> None:
    spring = lengths(at("2026-03-28T12:00+01:00"), at("2026-03-30T12:00+02:00"), "1d", "Europe/Berlin")
    autumn = lengths(at("2026-10-24T12:00+02:00"), at("2026-10-26T12:00+01:00"), "1d", "Europe/Berlin")
    assert [length / HOUR for length in spring] == [24, 23, 24]
    assert [length / HOUR for length in autumn] == [24, 25, 24]
    starts = bucket_starts(at("2026-03-28T12:00+01:00"), at("2026-03-30T12:00+02:00"), "1d", BERLIN)
    assert {start.astimezone(BERLIN).strftime("%H:%M") for start in starts} == {"00:00"}


def test_each_hour_is_a_bucket_when_the_clock_is_changed() -> None:
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25)):
        since = datetime.fromisoformat(day).replace(tzinfo=BERLIN)
        found = lengths(since, since + DAY, "1h", "Europe/Berlin")
        assert set(found) == {HOUR}
        assert len(found) == hours


def test_six_hours_are_counted_on_the_local_clock() -> None:
    since = datetime(2026, 3, 29, tzinfo=BERLIN)
    found = lengths(since, since + DAY, "6h", "Europe/Berlin")
    assert [length / HOUR for length in found] == [5, 6, 6, 6]


def test_a_day_without_midnight_begins_at_its_first_moment() -> None:
    # In Cairo, 24 April 2026 begins at 01:00.
    starts = bucket_starts(
        at("2026-04-23T12:00+02:00"), at("2026-04-25T12:00+03:00"), "1d", parse_zone("Africa/Cairo")
    )
    local = [start.astimezone(ZoneInfo("Africa/Cairo")).strftime("%d %H:%M") for start in starts]
    assert local == ["23 00:00", "24 01:00", "25 00:00", "26 00:00"]


def test_weeks_begin_on_monday() -> None:
    starts = bucket_starts(at("2026-03-01T12:00Z"), at("2026-03-20T00:00Z"), "7d", UTC)
    assert [start.strftime("%a %d") for start in starts] == ["Mon 23", "Mon 02", "Mon 09", "Mon 16", "Mon 23"]


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Havana"]
)
@pytest.mark.parametrize("size", BUCKET_SIZES)
def test_buckets_cover_any_window_without_gap_or_overlap(zone: str, size: BucketSize) -> None:
    chance = random.Random(3)
    for _ in range(60):
        since = at("2025-01-01T00:00Z") + DAY * chance.uniform(0, 500)
        until = since + DAY * 10 ** chance.uniform(-3, 1.6)
        now = until + DAY * chance.choice([-0.01, 0, 1])
        window = Window(since, until)
        found = divide(window, until + MICROSECOND, now, size, parse_zone(zone))
        if now < since:
            assert found.edges == []
            continue
        assert (found.edges[0], found.edges[-1]) == (since, until + MICROSECOND)
        assert all(start < end for start, end in pairwise(found.edges))
        assert found.ends == [*found.edges[1:-1], min(until, now)]
        assert len(found.ends) == len(found.is_partial) <= most_buckets(window, now, size)
        assert not any(found.is_partial[1:-1])
        starts = bucket_starts(since, until, size, parse_zone(zone))
        assert found.is_partial[0] is (since not in starts or (len(found.ends) == 1 and found.is_partial[-1]))


def test_a_window_that_ends_at_midnight_has_no_bucket_of_a_moment() -> None:
    window = Window(at("2026-03-01T00:00Z"), at("2026-03-03T00:00Z"))
    found = divide(window, window.until + MICROSECOND, at("2026-04-01T00:00Z"), "1d", UTC)
    assert found.edges == [window.since, at("2026-03-02T00:00Z"), window.until + MICROSECOND]
    assert found.is_partial == [False, False]


def test_empty_windows_have_no_buckets() -> None:
    now = at("2026-03-01T00:00Z")
    for window in (Window(now, now - DAY), Window(now + DAY, now + 2 * DAY)):
        assert divide(window, window.until + MICROSECOND, now, "1h", UTC).edges == []
    moment = Window(now, now)
    assert divide(moment, now + MICROSECOND, now + DAY, "1h", UTC).edges == [now, now + MICROSECOND]


@pytest.mark.parametrize(
    ("days", "points", "size"),
    [
        (1, 100, "1h"),
        (7, 100, "6h"),
        (7, 200, "1h"),
        (30, 100, "1d"),
        (90, 100, "1d"),
        (365, 100, "7d"),
        (365, 1, "30d"),
    ],
)
def test_the_size_fits_the_number_of_points(days: int, points: int, size: str) -> None:
    now = at("2026-03-01T00:07Z")
    assert fit(Window(now - days * DAY, now + DAY), now, points) == size


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mars/Base",
        "../etc/passwd",
        "/etc/passwd",
        "America",
        "localtime",
        "right/UTC",
        "posix/UTC",
        "europe/berlin/x/y",
        "UTC\n",
        "é",
    ],
)
def test_what_is_no_zone_is_refused_by_name(name: str) -> None:
    with pytest.raises(BadInputError, match="tz must be the IANA name"):
        parse_zone(name)
