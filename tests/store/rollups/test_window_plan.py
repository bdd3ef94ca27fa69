"""Coverage.plan divides a window independently of earlier calls."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orchboard.store.details.plans import join_ranges
from orchboard.store.postgres.clock import from_pg_time
from orchboard.store.rollups.buckets import DAY, HOUR, MINUTE, SIX_HOURS, TEN_MINUTES, Granularity
from orchboard.store.rollups.window_plan import Coverage, WindowPlan

# Minutes here are short, so that windows often start and end at a bucket's edge.
LENGTHS = {MINUTE.number: 2, TEN_MINUTES.number: 6, HOUR.number: 24, SIX_HOURS.number: 144, DAY.number: 576}
_SHORT = (MINUTE.number, TEN_MINUTES.number, HOUR.number)

buckets = st.lists(
    st.builds(
        lambda granularity, index, materialized, results: (
            index * LENGTHS[granularity],
            granularity,
            materialized,
            results,
        ),
        st.sampled_from(_SHORT),
        st.integers(0, 8),
        st.sampled_from([True, True, True, False]),
        st.sampled_from([0, 7, 10**6]),
    ),
    max_size=40,
    unique_by=lambda bucket: bucket[:2],
)
# Close to each other, so that some differ by one bucket only.
windows = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 50)), min_size=1, max_size=60)
longest = st.sampled_from([HOUR, TEN_MINUTES])


def coverage_of(rows: list[tuple[int, int, bool, int]], kept_since: int | None = None) -> Coverage:
    in_order = sorted(rows, key=lambda row: (row[0], -LENGTHS[row[1]]))
    starts = [start for start, *_ in in_order]
    granularities = [granularity for _, granularity, *_ in in_order]
    ends = [start + LENGTHS[granularity] for start, granularity in zip(starts, granularities, strict=True)]

    def sent(values: list[int], kind: str = ">i8") -> bytes:
        return np.array(values, kind).tobytes()

    row = {
        "starts": sent(starts), "ends": sent(ends), "granularities": sent(granularities, ">i4"),
        "materialized": sent([materialized for *_, materialized, _ in in_order], "?"), "revisions": sent(list(range(len(rows)))),
        "results": sent([results for *_, results in in_order]),
        "kept_since": None if kept_since is None else from_pg_time(kept_since),
    }  # fmt: skip
    return Coverage(row, 0)  # type: ignore[arg-type] # a mapping is all it looks into


def parts(plan: WindowPlan) -> list[tuple[int, int]]:
    buckets = [(bucket.start, bucket.start + LENGTHS[bucket.granularity]) for bucket in plan.buckets]
    partial = [(part.since, part.until) for part in plan.partial_buckets]
    tail = [plan.tail] if plan.tail[0] < plan.tail[1] else []
    return sorted([*buckets, *partial, *plan.unmaterialized, *tail])


def joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Disjoint ranges in order, those that adjoin as one."""
    assert all(end <= start for (_, end), (start, _) in pairwise(ranges))
    return join_ranges(ranges)


@settings(max_examples=300)
@given(buckets, windows)
def test_a_plan_does_not_depend_on_earlier_plans_and_its_parts_are_the_window(
    rows: list[tuple[int, int, bool, int]], asked: list[tuple[int, int]]
) -> None:
    coverage = coverage_of(rows)
    for since, until in asked:
        tail_since = coverage.tail_since
        plan = coverage.plan(since, until, tail_since=tail_since)
        assert plan == coverage_of(rows).plan(since, until, tail_since=tail_since)
        reached = since
        for start, end in parts(plan):
            assert start == reached < end
            reached = end
        assert reached == max(since, until)
        for part in plan.partial_buckets:
            start, length = part.bucket.start, LENGTHS[part.bucket.granularity]
            assert start <= part.since < part.until <= start + length


@settings(max_examples=300)
@given(buckets, windows, longest, st.none() | st.integers(0, 50))
def test_a_plan_in_shorter_buckets_is_of_the_same_window(
    rows: list[tuple[int, int, bool, int]],
    asked: list[tuple[int, int]],
    limit: Granularity,
    kept_since: int | None,
) -> None:
    """It does not depend on earlier plans, and can be made from the plan in longer ones."""
    coverage = coverage_of(rows, kept_since)
    for since, until in asked:
        tail_since = coverage.tail_since
        plan = coverage.plan(since, until, tail_since=tail_since)
        shorter = coverage.plan(since, until, tail_since=tail_since, longest=limit)
        unused = coverage_of(rows, kept_since)
        assert shorter == unused.plan(since, until, tail_since=tail_since, longest=limit)
        assert shorter == coverage.plan(plan.since, plan.until, tail_since=plan.tail[0], longest=limit)
        assert (shorter.since, shorter.until, shorter.tail) == (plan.since, plan.until, plan.tail)
        assert all(bucket.granularity <= limit.number for bucket in shorter.buckets)
        assert joined(parts(shorter)) == joined(parts(plan))
        if all(bucket.granularity <= limit.number for bucket in plan.buckets):
            assert shorter == plan


def test_bounds_where_results_are_not_kept_are_rounded_down_to_those_of_rollups() -> None:
    six_hours, day = 3, 4
    rows = [(start, six_hours, True, 5) for start in range(0, 4 * LENGTHS[day], LENGTHS[six_hours])]
    rows += [(start, day, True, 20) for start in range(0, 4 * LENGTHS[day], LENGTHS[day])]
    kept_since, cut = 3 * LENGTHS[day], LENGTHS[six_hours] // 2
    coverage = coverage_of(rows, kept_since)
    end = 4 * LENGTHS[day]
    for since, until, rounded in (
        (cut, end, (0, end)),
        (LENGTHS[day] + cut, kept_since - 1, (LENGTHS[day], kept_since - LENGTHS[six_hours])),
        (kept_since + cut, end, (kept_since + cut, end)),
        (0, kept_since + cut, (0, kept_since + cut)),
    ):
        plan = coverage.plan(since, until, tail_since=coverage.tail_since)
        assert (plan.since, plan.until) == rounded
        assert all(part.since >= kept_since for part in plan.partial_buckets)
        assert all(start >= kept_since for start, _ in plan.unmaterialized)
