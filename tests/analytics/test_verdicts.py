"""Testers that differ from the others are named, and no other."""

from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest

from orchboard.analytics.exact_test import exact_chance, two_sided
from orchboard.analytics.rank_test import rank_distance
from orchboard.analytics.strata import Verdicts
from orchboard.analytics.verdicts import ALPHA, compare_verdicts
from orchboard.simulate.month import DISHONEST_TESTER, month_network
from tests.support.honest_networks import NOW, SIZES, Size, last_week, names_any, verdicts_of

SEEDS = range(20)
TESTERS, ORCHESTRATORS, MODELS, HOURS = 10, 20, 3, 7 * 24
DISHONEST, FRIEND = 4, 7


class Network:
    """A week of results of honest testers, with outages and with distances; two testers in each region."""

    def __init__(self, seed: int, testers: int = TESTERS) -> None:
        self.chance = np.random.default_rng(seed)
        self.region = np.arange(testers) // 2
        self.success_rate = self.chance.choice([1.0, 0.995, 0.97, 0.9, 0.6], ORCHESTRATORS)
        self.pace = self.chance.uniform(0.7, 2.5, (ORCHESTRATORS, MODELS))
        self.distance = self.chance.uniform(0.0, 0.4, (int(self.region.max()) + 1, ORCHESTRATORS))
        is_down = np.zeros((ORCHESTRATORS, HOURS), bool)
        for orchestrator, begin in zip(
            self.chance.integers(0, ORCHESTRATORS, 10), self.chance.integers(0, HOURS, 10), strict=True
        ):
            is_down[orchestrator, begin : begin + self.chance.integers(1, 8)] = True
        shape = (testers, ORCHESTRATORS, MODELS, HOURS)
        self.tested = self.chance.random(shape) < 0.4
        works = self.chance.random(shape) < self.success_rate[:, None, None]
        self.succeeded = works & ~is_down[:, None, :]
        noise = self.chance.lognormal(0.0, 0.3, shape)
        self.round_trip = self.pace[..., None] * noise + self.distance[self.region][:, :, None, None]

    def verdicts(self) -> Verdicts:
        """The sums over the week."""
        logs = np.log(self.round_trip)
        succeeded = self.tested & self.succeeded
        columns = [
            self.tested,
            succeeded,
            succeeded,
            np.where(succeeded, logs, 0),
            np.where(succeeded, logs**2, 0),
        ]
        values = np.array([column.sum(axis=-1, dtype=float).ravel() for column in columns])
        tester, orchestrator, model = (index.ravel() for index in np.indices(self.tested.shape[:3]))
        cell, hour = np.nonzero(succeeded.reshape(-1, HOURS))
        round_trips = self.round_trip.reshape(-1, HOURS)[cell, hour]
        whole = Verdicts(tester, orchestrator, model, self.region[tester], values, round_trips, cell)
        return whole.select(values[0] > 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_honest_tester_is_named(seed: int) -> None:
    assert compare_verdicts(Network(seed).verdicts()).differences == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tester_that_favours_a_friend_and_fails_the_others_is_named_alone(seed: int) -> None:
    network = Network(seed)
    network.success_rate[FRIEND] = 0.7
    network.succeeded[:, FRIEND] &= network.chance.random(network.succeeded[:, FRIEND].shape) < 0.7
    honest = network.chance.random(network.succeeded[DISHONEST].shape) < 0.8
    network.succeeded[DISHONEST] &= honest
    network.succeeded[DISHONEST, FRIEND] = True
    found = compare_verdicts(network.verdicts()).differences
    assert {each.tester for each in found} == {DISHONEST}
    by_orchestrator = {each.orchestrator: each for each in found if each.is_success}
    assert by_orchestrator[FRIEND].own == 1.0
    assert by_orchestrator[FRIEND].others < 0.8
    assert len(by_orchestrator) > ORCHESTRATORS / 3
    assert all(each.own < each.others for each in by_orchestrator.values() if each.orchestrator != FRIEND)
    assert all(each.chance < ALPHA for each in found)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tester_that_reports_a_quarter_of_the_round_trips_of_a_friend_is_named_alone(seed: int) -> None:
    network = Network(seed)
    network.round_trip[:, FRIEND] *= 4
    network.round_trip[DISHONEST, FRIEND] /= 4
    found = compare_verdicts(network.verdicts()).differences
    assert [(each.tester, each.orchestrator, each.is_success) for each in found] == [
        (DISHONEST, FRIEND, False)
    ]
    assert found[0].own < found[0].others / 3


def test_one_of_three_testers_that_lies_is_named_and_one_of_two_is_not() -> None:
    for testers, named in ((3, {2}), (2, set())):
        network = Network(1, testers)
        network.succeeded[testers - 1] &= network.chance.random(network.succeeded[0].shape) < 0.5
        assert {each.tester for each in compare_verdicts(network.verdicts()).differences} == named


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [size for size in SIZES if size.results <= 5_000], ids=repr)
def test_no_tester_of_an_honest_simulated_network_is_named(size: Size, seed: int) -> None:
    assert not names_any(size, seed)


@pytest.mark.parametrize("seed", range(1, 4))
def test_the_dishonest_tester_of_the_month_is_named_alone(seed: int) -> None:
    network = month_network(seed, NOW)
    verdicts, testers = verdicts_of(last_week(network, 20_000))
    found = compare_verdicts(verdicts).differences
    assert {testers[each.tester] for each in found} == {DISHONEST_TESTER}
    assert len(found) == len(network.scenario.flattered)


def test_a_warm_model_and_a_cold_one_do_not_make_a_tester_differ() -> None:
    """Few results say nothing: here two of a tester with the model in memory, and the others' without."""
    tester = np.array([0, 1, 2])
    round_trips = np.array([4.0, 4.1, 29.5, 30.0, 29.8, 29.6])
    series = np.repeat(tester, 2)
    logs = np.log(round_trips)
    values = np.array([[2] * 3, [2] * 3, [2] * 3, np.bincount(series, logs), np.bincount(series, logs**2)])
    same = np.zeros(3, np.int64)
    verdicts = Verdicts(tester, same, same, same, values.astype(float), round_trips, series)
    assert compare_verdicts(verdicts).differences == []


@pytest.mark.parametrize(("n", "m"), [(1, 20), (2, 9), (3, 12), (5, 8), (7, 7)])
def test_large_distances_of_ranks_are_rarer_than_the_normal_distribution_says(n: int, m: int) -> None:
    distances = [
        rank_distance([(np.array(own, float), np.setdiff1d(np.arange(n + m), own).astype(float))])
        for own in combinations(range(n + m), n)
    ]
    for least in np.arange(2.5, max(distances), 0.25):
        assert np.mean(np.array(distances) >= least) <= two_sided(float(least))


def test_nothing_is_compared_without_results() -> None:
    empty = np.zeros(0, np.int64)
    found = compare_verdicts(Verdicts(empty, empty, empty, empty, np.zeros((5, 0)), np.zeros(0), empty))
    assert (found.differences, found.compared.tolist()) == ([], [])


def test_the_exact_chance_is_that_of_shuffled_results() -> None:
    chance = np.random.default_rng(3)
    strata = [(12, 9, 30, 28), (7, 5, 11, 10)]
    expected = sum(n * (k + j) / (n + m) for n, k, m, j in strata)
    tails: dict[str, int] = defaultdict(int)
    rounds = 20_000
    for _ in range(rounds):
        drawn = sum(chance.hypergeometric(k + j, n + m - k - j, n) for n, k, m, j in strata)
        tails["low"] += drawn <= 14
        tails["high"] += drawn >= 14
    found = exact_chance(*np.array(strata).T)
    assert expected > 14
    assert found == pytest.approx(2 * min(tails.values()) / rounds, rel=0.15)
