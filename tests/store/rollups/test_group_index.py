"""Index sets equal NumPy's functions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchboard.store.rollups.group_index import mask, unique_inverse, unique_sorted

LENGTH = 50


@given(st.lists(st.integers(0, LENGTH - 1)))
def test_index_sets_equal_numpy(drawn: list[int]) -> None:
    indices = np.array(drawn, np.int64)
    there, where = np.unique(indices, return_inverse=True)
    assert unique_sorted(indices, LENGTH).tolist() == there.tolist()
    assert [each.tolist() for each in unique_inverse(indices, LENGTH)] == [there.tolist(), where.tolist()]
    assert mask(indices, LENGTH).tolist() == np.isin(np.arange(LENGTH), indices).tolist()


def test_no_indices_give_empty_arrays() -> None:
    nothing = np.zeros(0, np.int64)
    assert mask([], 0).tolist() == unique_sorted(nothing, 0).tolist() == []
    assert [each.tolist() for each in unique_inverse(nothing, 0)] == [[], []]
