"""Simulated networks of honest testers, and how many of them have a tester that `compare_verdicts` names.

`python -m tests.support.honest_networks 500` prints the numbers of docs/coverage.md.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from orchboard.analytics.strata import Verdicts
from orchboard.analytics.verdicts import compare_verdicts
from orchboard.simulate.month import MONTH_DAYS, month_network
from orchboard.simulate.network import Character, Network, make_network
from orchboard.simulate.results import ResultPlan, SimulatedResult, batch_results
from orchboard.store.rollups.group_index import Indices

NOW = datetime(2026, 3, 31, 17, 40, tzinfo=UTC)
WEEK = timedelta(days=7)


class Size(Struct, frozen=True):
    """A network of testers. results -- in the week; is_named -- four testers with names; otherwise one tester in each region"""

    orchestrators: int
    results: int
    is_named: bool = False


SIZES = (
    Size(100, 1_000),
    Size(100, 5_000),
    Size(20, 5_000),
    Size(100, 20_000),
    Size(100, 5_000, is_named=True),
    Size(100, 20_000, is_named=True),
)

MEASURED = SIZES[:2]


def honest_network(size: Size, seed: int) -> Network:
    """A network in which no tester lies, and no orchestrator fails in one region only, which its tester would be named for."""
    network = make_network(seed, orchestrators=size.orchestrators)
    if size.is_named:
        month = month_network(seed, NOW)
        network = replace(month, scenario=replace(month.scenario, flattered={}))
    everywhere = tuple(each for each in network.orchestrators if each.character is not Character.REGIONAL)
    return replace(network, orchestrators=everywhere)


def last_week(network: Network, results: int) -> Iterator[SimulatedResult]:
    """About that many results, of the last week of a month."""
    plan = ResultPlan(NOW - timedelta(days=MONTH_DAYS), NOW, results * MONTH_DAYS // 7)
    for batch in range(plan.batches):
        if plan.bounds(batch)[1] >= NOW - WEEK:
            found = batch_results(network, plan, batch)
            yield from (result for result in found if result.event_time >= NOW - WEEK)


def verdicts_of(results: Iterable[SimulatedResult]) -> tuple[Verdicts, list[str]]:
    """The scored results, as `tester_columns.verdicts_of` makes them of stored results, and the testers by number."""
    cells: dict[tuple[Any, ...], list[tuple[bool, float]]] = defaultdict(list)
    for _, body, tester in results:
        if not str(body.get("test_outcome")).startswith("unscored"):
            key = (
                tester or body["region"],
                body["orchestrator"],
                (body["pipeline"], body["model"]),
                body["region"],
            )
            cells[key].append((body["success_rate"] == 1, float(str(body["round_trip_time"]))))
    testers, orchestrators, models, regions = (_numbered(column) for column in zip(*cells, strict=True))
    times = [np.array([time for is_success, time in cell if is_success and time]) for cell in cells.values()]
    counts = [len(each) for each in times]
    values = [
        [len(cell) for cell in cells.values()],
        [sum(is_success for is_success, _ in cell) for cell in cells.values()],
        counts,
        [np.log(each).sum() for each in times],
        [(np.log(each) ** 2).sum() for each in times],
    ]
    cell_of = np.repeat(np.arange(len(times)), counts)
    verdicts = Verdicts(
        testers[1],
        orchestrators[1],
        models[1],
        regions[1],
        np.array(values, np.float64),
        np.concatenate(times),
        cell_of,
    )
    return verdicts, testers[0]


def _numbered(column: Iterable[Any]) -> tuple[list[Any], Indices]:
    """The distinct values, and the number of each value."""
    numbers: dict[Any, int] = {}
    positions = [numbers.setdefault(each, len(numbers)) for each in column]
    return list(numbers), np.array(positions, np.int64)


def names_any(size: Size, seed: int) -> bool:
    """Whether a tester of an honest network is named."""
    verdicts, _ = verdicts_of(last_week(honest_network(size, seed), size.results))
    return bool(compare_verdicts(verdicts).differences)


if __name__ == "__main__":
    networks = int(sys.argv[1])
    for each in MEASURED:
        named = sum(names_any(each, seed) for seed in range(networks))
        testers = "four with names" if each.is_named else "one in each region"
        print(f"| {each.orchestrators} | {testers} | {each.results:,} | {named} of {networks} |", flush=True)
