"""Divides orchestrators into ranges of names, so that the details of a window are read and computed some orchestrators at a time."""

from collections.abc import Sequence
from itertools import pairwise

from orchboard import limits
from orchboard.stats import NameRange
from orchboard.store.postgres.clock import from_pg_time
from orchboard.store.postgres.reads import Reads
from orchboard.store.rollups.buckets import SIX_HOURS
from orchboard.store.rollups.window_plan import BucketKey, Coverage, WindowPlan
from orchboard.store.sql_files import sql


class NameRanges:
    """The ranges of the orchestrators in some buckets. Reads raise DatabaseUnavailableError."""

    def __init__(self, database: Reads) -> None:
        self._database = database
        self._of: tuple[tuple[BucketKey, ...], list[NameRange]] = (), []

    async def of_plans(self, coverage: Coverage, plans: Sequence[WindowPlan]) -> list[NameRange]:
        """The ranges for some plans that are computed one by one; none if the details of each fit into memory.

        None either if there are as many results without a rollup, which each part would read again. Those of the plans before are
        used again as long as the long buckets are those of before: any ranges are right.
        """
        largest = max(plans, key=lambda plan: _results_of(coverage, plan))
        if _results_of(coverage, largest) <= limits.DETAIL_PART_RESULTS:
            return []
        ranges = [own for plan in plans for own in plan.unmaterialized]
        if ranges and await self._count(ranges) >= limits.DETAIL_PART_RESULTS:
            return []
        long = tuple(bucket for bucket in largest.buckets if bucket.granularity >= SIX_HOURS.number)
        buckets = long or tuple(largest.buckets)
        if buckets != self._of[0]:
            self._of = buckets, await self._read(buckets)
        return self._of[1]

    async def _count(self, ranges: Sequence[tuple[int, int]]) -> int:
        """The number of results in some ranges, up to DETAIL_PART_RESULTS."""
        number = 0
        for since, until in ranges:
            edges = from_pg_time(since), from_pg_time(until)
            most = limits.DETAIL_PART_RESULTS - number
            [row] = await self._database.fetch(sql("unmaterialized_count"), *edges, most)
            number += row["number"]
            if number >= limits.DETAIL_PART_RESULTS:
                break
        return number

    async def _read(self, buckets: Sequence[BucketKey]) -> list[NameRange]:
        rows = await self._database.fetch(
            sql("detail_ranges"),
            [bucket.granularity for bucket in buckets],
            [from_pg_time(bucket.start) for bucket in buckets],
            limits.DETAIL_PART_BYTES,
        )
        firsts = [row["first"] for row in rows][1:]
        edges = ["", *firsts, None]
        return [NameRange(first or "", end) for first, end in pairwise(edges)] if firsts else []


def _results_of(coverage: Coverage, plan: WindowPlan) -> int:
    """The number of results in the buckets of a plan, which are at least as many as their entries."""
    return sum(coverage.results_of(bucket) for bucket in plan.buckets)
