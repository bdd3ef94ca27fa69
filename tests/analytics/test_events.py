"""What is news: outages are, noise is not."""

import random
from collections.abc import Callable

import pytest

from orchboard.analytics.events import Detector, Event, Hour, Kind, RegionHour
from orchboard.stats import JobType

MONTH = 30 * 24
REGIONS = ("FRA", "LAX", "MDW")
HOUR = 3_600_000_000


def hour(number: int, **regions: RegionHour) -> Hour:
    return Hour(number * HOUR + 60_000_000, number * HOUR + 3_000_000_000, regions)


def simulate(
    chance: Callable[[int, str], float],
    *,
    seed: int,
    tests_an_hour: float = 1.0,
    is_tested: Callable[[int], bool] = lambda number: True,
    regions: tuple[str, ...] = REGIONS,
) -> dict[int, Hour]:
    """Hours of results. chance -- of success, by hour and region; tests_an_hour -- of each region"""
    rng = random.Random(seed)
    hours = {}
    for number in range(MONTH):
        found = {}
        for region in regions:
            results = int(tests_an_hour) + (rng.random() < tests_an_hour % 1)
            good = sum(rng.random() < chance(number, region) for _ in range(results))
            if results and is_tested(number):
                found[region] = RegionHour(results, 0, float(good))
        if found:
            hours[number] = hour(number, **found)
    return hours


def events(
    hours: dict[int, Hour], *, is_known: bool = True, testing: Callable[[int], bool] = lambda _: True
) -> list[Event]:
    detector = Detector("0xa", JobType.AI, is_known=is_known)
    return [
        event
        for number in range(MONTH)
        for event in detector.hour(number, hours.get(number), frozenset(REGIONS if testing(number) else ()))
    ]


def kinds(found: list[Event]) -> list[tuple[Kind, int]]:
    return [(event.kind, event.hour) for event in found]


@pytest.mark.parametrize("tests_an_hour", [0.1, 0.5, 1, 4, 20])
@pytest.mark.parametrize("regions", [REGIONS, ("FRA",)])
def test_failures_by_chance_are_no_news(tests_an_hour: float, regions: tuple[str, ...]) -> None:
    for seed in range(40 if tests_an_hour < 4 else 5):
        hours = simulate(lambda *_: 0.95, seed=seed, tests_an_hour=tests_an_hour, regions=regions)
        assert events(hours) == []


@pytest.mark.parametrize("tests_an_hour", [0.5, 1, 4])
def test_an_outage_is_one_down_and_one_up(tests_an_hour: float) -> None:
    for seed in range(20):
        hours = simulate(
            lambda number, _: 0.0 if 300 <= number < 324 else 0.95, seed=seed, tests_an_hour=tests_an_hour
        )
        down, up = events(hours)
        assert (down.kind, up.kind) == (Kind.DOWN, Kind.UP)
        assert 300 - 2 <= down.hour <= 303
        assert 324 <= up.hour <= 330
        assert down.since == hours[down.hour].first
        assert down.since <= down.noted < up.since <= up.noted
        assert (down.results >= 6, down.regions >= 2) == (True, True)


def test_an_orchestrator_that_recovers_slowly_goes_up_once() -> None:
    """A fifth of the results succeeds: neither down nor up."""
    chances = lambda number, _: 0.0 if 100 <= number < 110 else 0.2 if number < 200 and number >= 110 else 1.0  # noqa: E731
    assert kinds(events(simulate(chances, seed=1, tests_an_hour=20))) == [(Kind.DOWN, 100), (Kind.UP, 200)]


def test_a_failing_region_is_no_outage() -> None:
    assert events(simulate(lambda _, region: 0.0 if region == "FRA" else 1.0, seed=1)) == []


def test_a_short_failure_is_no_news() -> None:
    assert events(simulate(lambda number, _: 0.0 if number == 300 else 1.0, seed=1)) == []


def test_unscored_results_are_no_outage() -> None:
    busy = {
        number: hour(number, FRA=RegionHour(0, 5, 0.0), LAX=RegionHour(0, 5, 0.0))
        for number in range(100, 200)
    }
    assert events(simulate(lambda *_: 1.0, seed=1) | busy) == []


def test_silence_is_news_once_and_so_is_its_end() -> None:
    hours = simulate(lambda *_: 1.0, seed=1, is_tested=lambda number: not 300 <= number < 400)
    silent, tested = events(hours)
    assert kinds([silent, tested]) == [(Kind.SILENT, 299), (Kind.TESTED, 400)]
    assert silent.since == hours[299].last
    assert silent.noted == 310 * HOUR  # ten hours, as it is tested every hour


def test_a_tester_that_stops_makes_nobody_silent() -> None:
    hours = simulate(lambda *_: 1.0, seed=1, is_tested=lambda number: not 300 <= number < 400)
    assert events(hours, testing=lambda number: not 300 <= number < 400) == []


def test_a_rarely_tested_orchestrator_is_not_silent_between_two_tests() -> None:
    for seed in range(40):
        assert events(simulate(lambda *_: 1.0, seed=seed, tests_an_hour=0.03)) == []


def test_a_new_orchestrator_is_news_after_three_results() -> None:
    hours = simulate(lambda *_: 1.0, seed=1, is_tested=lambda number: number >= 50)
    [tested] = events(hours, is_known=False)
    assert (tested.kind, tested.hour, tested.since, tested.results) == (Kind.TESTED, 50, hours[50].first, 3)
    assert events({50: hour(50, FRA=RegionHour(2, 0, 2.0))}, is_known=False) == []
    assert events(hours) == []


def test_an_orchestrator_that_never_worked_is_not_down_but_goes_up() -> None:
    hours = simulate(lambda number, _: 0.0 if number < 300 else 1.0, seed=1)
    assert kinds(events(hours)) == [(Kind.UP, 300)]


def test_later_hours_change_no_earlier_event() -> None:
    hours = simulate(lambda number, _: 0.0 if 100 <= number % 300 < 110 else 0.95, seed=3)
    whole = events(hours)
    assert len(whole) == 6
    for end in range(0, MONTH, 7):
        early = events(
            {number: each for number, each in hours.items() if number < end},
            testing=lambda number: number < end,  # noqa: B023
        )
        assert early == whole[: len(early)]
