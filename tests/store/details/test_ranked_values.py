"""Quantiles from values near them, and from others that came later."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchboard.store.details import ranked_values
from orchboard.store.details.ranked_values import NotKeptError, RankedValues, split_runs
from tests.support.details_oracle import quantile

FRACTIONS = (0.5, 0.75, 0.9, 0.99)

values = st.lists(st.sampled_from([0.1, 0.2, 0.3, 1.0, 2.0, 1e300]) | st.floats(0, 10), max_size=60)


@given(values, values)
def test_quantiles_are_those_of_all_values(kept: list[float], others: list[float]) -> None:
    found = RankedValues.near(np.array(kept), FRACTIONS).quantiles(np.sort(others), FRACTIONS)
    everything = np.sort(np.array(kept + others))
    if len(everything):
        assert found == [quantile(everything.tolist(), fraction) for fraction in FRACTIONS]
    else:
        assert np.isnan(found).all()


@given(st.integers(0, 2**32), st.integers(4001, 9000), st.integers(0, 450))
def test_quantiles_of_many_values_need_few_of_them(seed: int, number: int, later: int) -> None:
    chance = np.random.default_rng(seed)
    values = np.round(chance.exponential(3, number), 2)
    others = np.sort(np.round(chance.exponential(chance.choice([0.1, 3, 100]), later), 2))
    kept = RankedValues.near(values, FRACTIONS)
    everything = np.sort(np.concatenate([values, others]))
    assert kept.quantiles(others, FRACTIONS) == [
        quantile(everything.tolist(), fraction) for fraction in FRACTIONS
    ]
    assert kept.number == number


def test_values_that_are_not_kept_are_known_to_be_missing() -> None:
    kept = RankedValues.near(np.arange(100_000.0), [0.5])
    assert kept.size < 100_000
    with pytest.raises(NotKeptError):
        kept.quantiles(np.zeros(0), [0.9])
    with pytest.raises(NotKeptError):
        kept.quantiles(np.zeros(20_000), [0.5])


def test_nothing_is_known_between_bounds_without_a_value() -> None:
    kept = RankedValues.near(np.zeros(0), [0.5], below=40, number=100)
    with pytest.raises(NotKeptError):
        kept.quantiles(np.array([1.0]), [0.5])


def test_values_between_bounds_have_their_rank() -> None:
    everything = np.arange(10_000.0)
    kept = RankedValues.near(everything[4000:6000], [0.5], below=4000, number=10_000)
    assert kept.quantiles(np.array([1.0, 2.0]), [0.5]) == [quantile([1.0, 2.0, *everything], 0.5)]


def test_values_are_split_by_group() -> None:
    runs = split_runs(np.array([3.0, 1.0, 2.0, 9.0]), np.array([1, 0, 1, -1]), 3)
    assert [run.tolist() for run in runs] == [[1.0], [2.0, 3.0], []]
    assert ranked_values.split_runs(np.zeros(0), np.zeros(0, np.int64), 0) == []
