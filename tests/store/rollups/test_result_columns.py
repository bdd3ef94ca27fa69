"""Arrays that grow at the end and shrink at the beginning."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchboard.store.rollups.result_columns import SlidingArrays
from tests.support.hypothesis_settings import fixed_examples


@fixed_examples(200)
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000), st.booleans()), max_size=12))
def test_the_arrays_hold_what_was_stored_with_limited_spare_capacity(
    steps: list[tuple[int, int, bool]],
) -> None:
    growing, model = SlidingArrays(np.int64, rows=2), list[float]()
    for at, number, drops in steps:
        since = int(model[at % len(model)]) if model else at
        if drops:
            growing.drop_before(since)
            model = [each for each in model if each >= since]
        else:
            new = np.arange(since, since + number)
            growing.replace(since, (new, np.array([new / 2, new / 4])))
            model = [each for each in model if each < since] + [float(each) for each in new]
        moments, (halves, quarters) = growing.arrays()
        assert moments.tolist() == model
        assert halves.tolist() == [each / 2 for each in model]
        assert quarters.tolist() == [each / 4 for each in model]
        if drops:
            assert growing.capacity <= 4 * len(model) + 1024
