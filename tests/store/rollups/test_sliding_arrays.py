"""Arrays that grow at one end and are forgotten at the other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchboard.store.rollups.sliding_arrays import SlidingArrays
from tests.support.hypothesis_settings import fixed_examples


@fixed_examples(200)
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000), st.booleans()), max_size=12))
def test_what_is_held_is_what_was_put_there_with_room_for_little_more(
    steps: list[tuple[int, int, bool]],
) -> None:
    growing, model = SlidingArrays(np.int64, np.float64), list[float]()
    for at, number, forgets in steps:
        since = int(model[at % len(model)]) if model else at
        if forgets:
            growing.forget_before(since)
            model = [each for each in model if each >= since]
        else:
            new = np.arange(since, since + number)
            growing.replace(since, (new, new / 2))
            model = [each for each in model if each < since] + [float(each) for each in new]
        moments, halves = growing.arrays()
        assert moments.tolist() == model
        assert halves.tolist() == [each / 2 for each in model]
        if forgets:
            assert growing.room <= 4 * len(model) + 1024
