"""Quantiles of round trips are exact, whether lists are read whole or counted by bin first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchboard.store.rollups.statistics import RollupRebuiltError, RoundTrips, bins_of, quantiles_of
from tests.support.database import run

MODEL = ("p", "m")
lists = st.lists(
    st.tuples(st.lists(st.floats(1e-5, 1e5), min_size=1, max_size=30), st.booleans()), min_size=1, max_size=5
)


def counted(number: int, values: list[float]) -> RoundTrips:
    bins = bins_of(np.sort(np.array(values)))
    first = int(bins[0])
    return RoundTrips(MODEL, None, None, number, first, np.bincount(bins - first))


async def fetch_slices(
    stored: list[list[float]], ids: list[int], firsts: list[int], numbers: list[int]
) -> list[dict[str, object]]:
    return [
        {
            "id": each,
            "round_trips": np.array(sorted(stored[each])[first : first + number], ">f8").tobytes(),
        }
        for each, first, number in zip(ids, firsts, numbers, strict=True)
    ]


@given(lists, st.sampled_from([0.0, 0.25, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_of_any_lists_equals_numpys(
    drawn: list[tuple[list[float], bool]], fraction: float
) -> None:
    stored = [values for values, _ in drawn]
    parts = [
        counted(number, values) if is_counted else RoundTrips(MODEL, None, np.array(values))
        for number, (values, is_counted) in enumerate(drawn)
    ]
    found = run(quantiles_of(parts, fraction, lambda *slices: fetch_slices(stored, *slices)))  # type: ignore[arg-type] # mappings suffice
    expected = np.quantile(np.concatenate([np.array(values) for values in stored]), fraction)
    assert found[MODEL] == pytest.approx(float(expected), rel=1e-12)


def test_a_list_that_was_rebuilt_meanwhile_is_noticed() -> None:
    async def none(*_: object) -> list[object]:
        return []

    with pytest.raises(RollupRebuiltError):
        run(quantiles_of([counted(1, [1.0, 2.0])], 0.9, none))  # type: ignore[arg-type]
