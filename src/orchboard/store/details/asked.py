"""What the DetailReader is asked for, and the parts of its work."""

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from orchboard.stats import JobType, PartQuery, SeriesQuery
from orchboard.store.details.details import Details, Medians, Needs
from orchboard.store.details.plan_reader import NetworkPart, PlanReader
from orchboard.store.details.plans import plan_key, results_of, share_read
from orchboard.store.details.sums import NETWORK, SeriesSums
from orchboard.store.rollups.window_plan import Coverage, WindowPlan

T = TypeVar("T")

_ENTRY_RESULTS = 4


class Asked(Struct, Generic[T], frozen=True):
    """What is computed of each bucket; see `DetailReader.fetch_points`."""

    kind: Hashable
    query: SeriesQuery
    compute: Callable[[Sequence[Details]], Sequence[T]]
    needs: Needs
    size: Callable[[T], int]

    def key(self, plan: WindowPlan) -> Hashable:
        """The key of a kept value."""
        return self.kind, self.query, plan_key(plan)

    def read_of(self, coverage: Coverage, plan: WindowPlan, series: int) -> int:
        """About how much is read of the buckets of a plan, in results. series -- the number of those seen so far

        Without round trips it is an entry for each series, which takes as much memory as several results.
        """
        results = int(results_of(coverage, plan) * share_read(self.query.orchestrators))
        return results if self.needs.round_trips or not series else min(results, series) * _ENTRY_RESULTS

    @property
    def reads_round_trips_of_network(self) -> bool:
        """Whether those of all orchestrators pooled are read."""
        return self.needs.round_trips and NETWORK in (self.query.orchestrators or ())

    @property
    def needs_network(self) -> bool:
        """Whether the medians are read, as the sums do not tell them."""
        if not self.needs.medians or self.query.job_type is JobType.TRANSCODING:
            return False
        is_part = self.query.orchestrators is not None or isinstance(self.query, PartQuery)
        return is_part or not self.needs.round_trips


class Read(Struct, frozen=True):
    """What was read of one plan, without the tail. medians -- see `PlanReader.medians`; None: not read"""

    plan: WindowPlan
    sums: SeriesSums
    medians: Medians | NetworkPart | None


class Attempt(Struct, frozen=True):
    """One of several tries to read.

    requested_at -- time.monotonic: what was stored before is included
    margin -- how many later round trips those held must be enough for, when they were not; else 0
    """

    reader: PlanReader
    requested_at: float
    margin: int
