"""What the reader of details asks of window plans: their cost, and whether they can change."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from orchboard import limits
from orchboard.store.details.sums import NETWORK
from orchboard.store.rollups.buckets import DAY, SIX_HOURS
from orchboard.store.rollups.window_plan import BucketKey, Coverage, WindowPlan

T = TypeVar("T")

# Cost in rows; see RollupCache.
_ANSWER_ROWS, _BUCKET_ROWS, _RESULTS_PER_ROW = 3_000, 100, 100
_MAX_UNMATERIALIZED_ROWS = 50_000

# What is read at once.
_BATCH_RESULTS = 200_000

# Orchestrators of a busy network.
_USUAL_ORCHESTRATORS = 100


def cost_of(coverage: Coverage, plans: Sequence[WindowPlan]) -> int:
    """Rows to read and add up."""
    rows = float(_ANSWER_ROWS)
    for plan in plans:
        rows += sum(_BUCKET_ROWS + coverage.results_of(bucket) / _RESULTS_PER_ROW for bucket in plan.buckets)
        rows += sum(_BUCKET_ROWS + coverage.results_of(part.bucket) for part in plan.partial_buckets)
        unmaterialized = sum(until - since for since, until in plan.unmaterialized)
        rows += min(unmaterialized * coverage.results_per_microsecond, _MAX_UNMATERIALIZED_ROWS)
    return int(min(rows, limits.MAX_ROWS_IN_PROGRESS / 2))


def share_read(orchestrators: Collection[str] | None) -> float:
    """About the part of the results of a bucket that is read for some orchestrators; None: for all."""
    if orchestrators is None or NETWORK in orchestrators:
        return 1.0
    return min(len(orchestrators) / _USUAL_ORCHESTRATORS, 1.0)


def in_batches(items: Iterable[T], results: Callable[[T], int], *, at_most: int = 512) -> Iterator[list[T]]:
    """Divide items into batches that are read at once. results -- the number of results of an item; bounds the memory"""
    batch: list[T] = []
    total = 0
    for item in items:
        own = results(item)
        if batch and (total + own > _BATCH_RESULTS or len(batch) == at_most):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += own
    if batch:
        yield batch


def results_of(coverage: Coverage, plan: WindowPlan) -> int:
    """The number of results in the buckets of a plan."""
    return sum(coverage.results_of(bucket) for bucket in plan.buckets)


def divide(plan: WindowPlan) -> tuple[tuple[BucketKey, ...], WindowPlan]:
    """The long buckets of a plan, which most later windows have too; and the rest of it."""
    long = tuple(bucket for bucket in plan.buckets if bucket.granularity >= SIX_HOURS.number)
    short = [bucket for bucket in plan.buckets if bucket.granularity < SIX_HOURS.number]
    return long, replace(plan, buckets=short)


def by_days(coverage: Coverage, plan: WindowPlan) -> WindowPlan:
    """The same window in buckets of at most a day, which have round trips of the network. plan -- by this coverage"""
    if all(bucket.granularity <= DAY.number for bucket in plan.buckets):
        return plan
    return coverage.plan(plan.since, plan.until, tail_since=plan.tail[0], longest=DAY)


def plan_key(plan: WindowPlan) -> Hashable:
    """A key of what is kept for a settled plan; another one after every change of what the plan is read from.

    A plan that is not settled never has the key of a settled one, also if both have the same buckets.
    """
    return is_settled(plan), tuple(plan.buckets), tuple(plan.partial_buckets)


def has_tail(plan: WindowPlan) -> bool:
    """Whether the live tail is a part of it."""
    return plan.tail[0] < plan.tail[1]


def is_settled(plan: WindowPlan) -> bool:
    """Whether the parts of a plan are all in rollups, so that every change gives them another key."""
    return not plan.unmaterialized and not has_tail(plan) and bool(plan.buckets or plan.partial_buckets)


def is_one_bucket(plan: WindowPlan) -> bool:
    """Whether it is exactly one materialized bucket."""
    return is_settled(plan) and len(plan.buckets) == 1 and not plan.partial_buckets


def join_ranges(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The union of some ranges in ascending order.

    >>> join_ranges([(0, 2), (2, 3), (5, 6)])
    [(0, 3), (5, 6)]
    """
    found: list[tuple[int, int]] = []
    for since, until in ranges:
        if found and since <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], until)
        else:
            found.append((since, until))
    return found
