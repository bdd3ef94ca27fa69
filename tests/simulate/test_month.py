"""The month of the demonstration has an outage, a decline, a newcomer, busy hours, a silent region and a dishonest tester."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any

import pytest

from orchboard.simulate.month import (
    DEGRADED_SINCE_DAYS,
    DISHONEST_TESTER,
    JOINED_DAYS,
    MONTH_DAYS,
    OUTAGE_BEGAN_H,
    OUTAGE_H,
    SILENT_REGION,
    SILENT_SINCE_DAYS,
    month_network,
)
from orchboard.simulate.network import Character, Orchestrator
from orchboard.simulate.results import ResultPlan, SimulatedResult, batch_results

NOW = datetime(2026, 3, 31, 17, 40, tzinfo=UTC)
NETWORK = month_network(1, NOW)
ORCHESTRATORS = {one.address: one for one in NETWORK.orchestrators}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def month() -> list[SimulatedResult]:
    plan = ResultPlan(NOW - MONTH_DAYS * DAY, NOW, 60_000)
    return [result for batch in range(plan.batches) for result in batch_results(NETWORK, plan, batch)]


def rate_of(results: Iterator[SimulatedResult]) -> float:
    return fmean(
        result.body["success_rate"]  # type: ignore[misc]
        for result in results
        if not str(result.body.get("test_outcome")).startswith("unscored")
    )


def split(
    results: list[SimulatedResult], address: str, is_within: Callable[[datetime], bool]
) -> tuple[list[SimulatedResult], list[SimulatedResult]]:
    """The results of an orchestrator within a time, and the others."""
    own = [result for result in results if result.body["orchestrator"] == address]
    within = [result for result in own if is_within(result.event_time)]
    return within, [result for result in own if not is_within(result.event_time)]


def test_the_same_now_makes_the_same_month() -> None:
    assert month_network(1, NOW) == NETWORK
    assert month_network(1, NOW + DAY).orchestrators == NETWORK.orchestrators


def test_one_orchestrator_fails_every_test_for_six_hours(month: list[SimulatedResult]) -> None:
    [address] = NETWORK.scenario.outages
    began = NOW - OUTAGE_BEGAN_H * HOUR
    within, others = split(month, address, lambda moment: began <= moment < began + OUTAGE_H * HOUR)
    assert len(within) >= 3
    assert rate_of(iter(within)) == 0
    assert rate_of(iter(others)) > 0.9


def test_one_orchestrator_is_degraded_for_days(month: list[SimulatedResult]) -> None:
    [address] = NETWORK.scenario.degraded
    within, others = split(month, address, lambda moment: moment >= NOW - DEGRADED_SINCE_DAYS * DAY)
    assert 0.35 < rate_of(iter(within)) < 0.7 < rate_of(iter(others))


def test_one_orchestrator_is_new(month: list[SimulatedResult]) -> None:
    [address] = NETWORK.scenario.absent
    within, others = split(month, address, lambda moment: moment >= NOW - JOINED_DAYS * DAY)
    assert len(within) > 20
    assert not others


def test_busy_orchestrators_have_unscored_results_at_their_peak(month: list[SimulatedResult]) -> None:
    busy: dict[bool, list[bool]] = defaultdict(list)
    for result in month:
        body: dict[str, Any] = result.body
        one: Orchestrator = ORCHESTRATORS[body["orchestrator"]]
        if one.address in NETWORK.scenario.busy and body["pipeline"]:
            is_busy = body["test_outcome"] == "unscored_busy"
            busy[one.evening(result.event_time.timestamp()) > 0.7].append(is_busy)
            assert [error["error_code"] for error in body["errors"] if is_busy] == is_busy * [
                "OrchestratorBusy"
            ]
    assert fmean(busy[True]) > 0.25
    assert fmean(busy[False]) < 0.15


def test_a_region_is_silent_since_its_tester_stopped(month: list[SimulatedResult]) -> None:
    times = [result.event_time for result in month if result.body["region"] == SILENT_REGION]
    stopped = NOW - SILENT_SINCE_DAYS * DAY
    assert stopped - 2 * HOUR < max(times) < stopped
    assert {result.tester for result in month if result.body["region"] == SILENT_REGION} == {"southern"}
    assert {result.tester for result in month} == {"atlas", "harbour", "meridian", "southern"}


def test_one_tester_reports_successes_of_orchestrators_that_fail(month: list[SimulatedResult]) -> None:
    for address in NETWORK.scenario.flattered:
        assert ORCHESTRATORS[address].character is Character.DYING
        late, _ = split(month, address, lambda moment: moment >= NOW - 5 * DAY)
        assert rate_of(each for each in late if each.tester == DISHONEST_TESTER) > 0.95
        assert rate_of(each for each in late if each.tester != DISHONEST_TESTER) == 0


def test_a_later_part_of_the_month_continues_it(month: list[SimulatedResult]) -> None:
    """As after a restart of the demonstration: who has left stays away, and who has died stays dead."""
    plan = ResultPlan(NOW - 5 * DAY, NOW, 5_000, begin=NOW - MONTH_DAYS * DAY)
    rates = defaultdict(list)
    for _, body, tester in batch_results(NETWORK, plan, 0):
        if tester != DISHONEST_TESTER:
            rates[ORCHESTRATORS[str(body["orchestrator"])].character].append(body["success_rate"])
    assert Character.GONE not in rates
    assert set(rates[Character.DYING]) == {0}
