"""Sums that are added up in place equal those that are added up at once, and take the memory of the total."""

import random
import tracemalloc

import numpy as np

from orchboard.store.details.error_sums import ErrorSums
from orchboard.store.details.running_sums import RunningSums
from orchboard.store.details.sums import MOMENTS, SeriesSums, add_up
from orchboard.store.measures import MEASURES


def random_sums(seed: int, series: list[int]) -> SeriesSums:
    """Random sums of some series; some have no scored result."""
    random_numbers, number = np.random.default_rng(seed), len(series)
    results, unscored, successes, cold = (random_numbers.integers(0, 4, number) for _ in range(4))
    unscored += results == 0
    counts = random_numbers.integers(0, 3, number)
    scored = results > 0
    errors = [
        (each, random.Random(each + seed).choice("ab"), 1, 2, seed, seed + 1, f"m{seed}")
        for each in series[::5]
    ]
    return SeriesSums(
        np.array(series),
        results,
        unscored,
        successes,
        cold,
        random_numbers.integers(0, 1000, number),
        random_numbers.integers(1000, 2000, number),
        random_numbers.random((len(MEASURES), number)) * scored,
        random_numbers.random((len(MOMENTS), number)) * scored,
        random_numbers.random(int(counts.sum())),
        np.repeat(np.arange(number), counts),
        ErrorSums.of(errors),
    )


def test_running_sums_equal_those_of_all_parts() -> None:
    chance, running, parts = random.Random(1), RunningSums(), []
    for seed in range(12):
        parts.append(random_sums(seed, sorted(chance.sample(range(60 * (1 + seed)), 40))))
        running.add(parts[-1])
    found, expected = running.total(), add_up(parts)
    for name in ("series", "results", "unscored", "successes", "cold", "first", "last"):
        assert (getattr(found, name) == getattr(expected, name)).all(), name
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-12)
    np.testing.assert_allclose(found.moments, expected.moments, rtol=1e-12)
    for sums in (found, expected):
        assert len(sums.round_trips) == sum(len(part.round_trips) for part in parts)
    assert sorted(zip(found.round_trip_entries, found.round_trips, strict=True)) == sorted(
        zip(expected.round_trip_entries, expected.round_trips, strict=True)
    )
    assert sorted(map(str, found.errors)) == sorted(map(str, expected.errors))
    assert not len(RunningSums().total().series)


def test_running_sums_take_the_memory_of_the_total() -> None:
    """Not of several: an hour may have 333,000 series in pages of 5,000 results."""
    series, page = 40_000, 2_000
    running = RunningSums()
    tracemalloc.start()
    for first in range(0, series, page):
        running.add(random_sums(1, list(range(first, first + page))))
    while_added, _ = tracemalloc.get_traced_memory()
    total = running.total()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = total.size - total.errors.size
    assert while_added < 1.5 * size + total.errors.size
    assert peak < 2 * size + total.errors.size, "the total is not a copy"
