"""Coverage.split: the parts of a window, whatever was asked before."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orchboard.store.rollups.buckets import HOUR, MINUTE, TEN_MINUTES
from orchboard.store.rollups.window_plan import Coverage, Split

# Minutes here are short, so that windows often begin and end on a span's edge.
LENGTHS = {MINUTE.number: 2, TEN_MINUTES.number: 6, HOUR.number: 24}

spans = st.lists(
    st.builds(
        lambda level, place, sealed, results: (place * LENGTHS[level], level, sealed, results),
        st.sampled_from(sorted(LENGTHS)),
        st.integers(0, 8),
        st.sampled_from([True, True, True, False]),
        st.sampled_from([0, 7, 10**6]),
    ),
    max_size=40,
    unique_by=lambda span: span[:2],
)
# Close to each other, so that some are told apart by one span only.
windows = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 50)), min_size=1, max_size=60)


def coverage_of(rows: list[tuple[int, int, bool, int]]) -> Coverage:
    in_order = sorted(rows, key=lambda row: (row[0], -LENGTHS[row[1]]))
    starts = [start for start, *_ in in_order]
    levels = [level for _, level, *_ in in_order]
    ends = [start + LENGTHS[level] for start, level in zip(starts, levels, strict=True)]

    def sent(values: list[int], kind: str = ">i8") -> bytes:
        return np.array(values, kind).tobytes()

    row = {
        "starts": sent(starts), "ends": sent(ends), "levels": sent(levels, ">i4"),
        "sealed": sent([sealed for *_, sealed, _ in in_order], "?"), "revisions": sent(list(range(len(rows)))),
        "results": sent([results for *_, results in in_order]),
    }  # fmt: skip
    return Coverage(row, 0)  # type: ignore[arg-type] # a mapping is all it looks into


def parts(split: Split) -> list[tuple[int, int]]:
    whole = [(span.start, span.start + LENGTHS[span.level]) for span in split.whole]
    pieces = [(piece.since, piece.until) for piece in split.pieces]
    return sorted(
        [*whole, *pieces, *split.unsummed, *([split.recent] if split.recent[0] < split.recent[1] else [])]
    )


@settings(max_examples=300)
@given(spans, windows)
def test_a_split_is_the_same_whatever_was_asked_before_and_its_parts_are_the_window(
    rows: list[tuple[int, int, bool, int]], asked: list[tuple[int, int]]
) -> None:
    coverage = coverage_of(rows)
    for since, until in asked:
        held_since = coverage.recent_since
        split = coverage.split(since, until, held_since=held_since)
        assert split == coverage_of(rows).split(since, until, held_since=held_since)
        reached = since
        for start, end in parts(split):
            assert start == reached < end
            reached = end
        assert reached == max(since, until)
        for piece in split.pieces:
            assert (
                piece.span.start <= piece.since < piece.until <= piece.span.start + LENGTHS[piece.span.level]
            )
