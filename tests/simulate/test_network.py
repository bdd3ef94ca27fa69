import re

import pytest

from orchboard.simulate.network import Character, Network, Orchestrator, make_network
from orchboard.stats import JobType

NETWORK = make_network(1)


def of(network: Network, character: Character) -> Orchestrator:
    return next(one for one in network.orchestrators if one.character is character)


def test_a_seed_always_makes_the_same_network() -> None:
    assert make_network(5, orchestrators=12) == make_network(5, orchestrators=12)


def test_seeds_and_sizes_share_no_orchestrator() -> None:
    networks = [
        make_network(1, orchestrators=4),
        make_network(1, orchestrators=5),
        make_network(2, orchestrators=4),
    ]
    assert len({one.address for network in networks for one in network.orchestrators}) == 13


def test_addresses_are_ethereum_addresses_in_lower_case() -> None:
    assert all(re.fullmatch("0x[0-9a-f]{40}", one.address) for one in NETWORK.orchestrators)


def test_eight_orchestrators_show_every_character() -> None:
    assert {one.character for one in make_network(9, orchestrators=8).orchestrators} == set(Character)


@pytest.mark.parametrize("orchestrators", [0, -1])
def test_a_network_without_an_orchestrator_is_refused(orchestrators: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        make_network(1, orchestrators=orchestrators)


def test_testers_are_in_22_transcoding_and_4_ai_regions() -> None:
    assert {job_type: len(codes) for job_type, codes in NETWORK.regions.items()} == {
        JobType.TRANSCODING: 22,
        JobType.AI: 4,
    }


def test_round_trips_grow_with_distance() -> None:
    european = [one for one in NETWORK.orchestrators if one.round_trips_s["PRG"] < 0.02]
    assert european
    for one in european:
        trips = [one.round_trips_s[code] for code in ("PRG", "NYC", "SEA", "SYD")]
        assert trips == sorted(trips)
        assert 0.15 < trips[-1] < 0.35


def test_the_evening_at_home_is_the_slowest_hour() -> None:
    for one in NETWORK.orchestrators:
        hours = [one.load(hour * 3600) for hour in range(24)]
        busiest = hours.index(max(hours))
        assert abs((busiest + one.longitude / 15 - 20 + 12) % 24 - 12) <= 1
        assert min(hours) < 1.01 < max(hours)


def test_an_outage_is_the_same_whenever_it_is_asked_for() -> None:
    flaky = of(NETWORK, Character.FLAKY)
    days = [NETWORK.outage(flaky, day) for day in range(20_000, 20_100)]
    assert days == [NETWORK.outage(flaky, day) for day in range(20_000, 20_100)]
    outages = [outage for outage in days if outage]
    assert 40 < len(outages) < 80
    assert all(0 < outage.until - outage.since <= 5 * 3600 for outage in outages)


def test_newcomers_come_leavers_leave_and_the_dying_die() -> None:
    newcomer, gone, dying = (of(NETWORK, c) for c in (Character.NEWCOMER, Character.GONE, Character.DYING))
    assert [newcomer.is_member(age) for age in (0, 0.4, 0.6, 1)] == [False, False, True, True]
    assert [gone.is_member(age) for age in (0, 0.4, 0.7, 1)] == [True, True, False, False]
    assert dying.success_rate_at(0) > 0.9
    assert dying.success_rate_at(1) == 0


def test_regions_that_are_not_known_are_not_tested_from() -> None:
    known = {("FRA", JobType.TRANSCODING), ("FRA", JobType.AI), ("NYC", JobType.AI)}
    assert NETWORK.within(known).regions == {JobType.TRANSCODING: ("FRA",), JobType.AI: ("FRA",)}
