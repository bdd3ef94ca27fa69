"""Sets of places, against numpy's own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchboard.store.rollups.index_sets import distinct, marked, ranked

LENGTH = 50


@given(st.lists(st.integers(0, LENGTH - 1)))
def test_they_say_what_numpy_says(drawn: list[int]) -> None:
    places = np.array(drawn, np.int64)
    there, where = np.unique(places, return_inverse=True)
    assert distinct(places, LENGTH).tolist() == there.tolist()
    assert [each.tolist() for each in ranked(places, LENGTH)] == [there.tolist(), where.tolist()]
    assert marked(places, LENGTH).tolist() == np.isin(np.arange(LENGTH), places).tolist()


def test_a_list_without_places_has_none() -> None:
    nothing = np.zeros(0, np.int64)
    assert marked([], 0).tolist() == distinct(nothing, 0).tolist() == []
    assert [each.tolist() for each in ranked(nothing, 0)] == [[], []]
