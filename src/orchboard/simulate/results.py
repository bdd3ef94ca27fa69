"""Plans the results that job testers of a simulated network would send, and makes them in batches, in time order. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

from msgspec import Struct

from orchboard.simulate.job_testers import JobTesters
from orchboard.simulate.network import Network

# Each batch has its own random generator, so that processes can make batches in parallel.
RESULTS_A_BATCH = 10_000

_MICROSECOND = timedelta(microseconds=1)


class ResultPlan(Struct, frozen=True):
    """A set of results to simulate: `count`, spread evenly over since..until, in batches.

    begin -- of the window in which orchestrators join, leave and fail, which ends at `until`; None: since

    Raises ValueError if a datetime has no time zone, until is before since, or count is negative.
    """

    since: datetime
    until: datetime
    count: int
    begin: datetime | None = None

    def __post_init__(self) -> None:
        if self.since.tzinfo is None or self.until.tzinfo is None:
            raise ValueError("since and until need a time zone")
        if self.until < self.since:
            raise ValueError("until must not be before since")
        if self.count < 0:
            raise ValueError("count must not be negative")

    @property
    def batches(self) -> int:
        """The number of batches. The last may be smaller."""
        return ceil(self.count / RESULTS_A_BATCH)

    def size(self, batch: int) -> int:
        """The number of results in a batch."""
        return min(RESULTS_A_BATCH, self.count - batch * RESULTS_A_BATCH)

    def bounds(self, batch: int) -> tuple[datetime, datetime]:
        """The interval of a batch."""
        first, total = batch * RESULTS_A_BATCH, (self.until - self.since) // _MICROSECOND
        ends = (first, first + self.size(batch))
        start, end = (self.since + total * end // self.count * _MICROSECOND for end in ends)
        return start, end


class SimulatedResult(NamedTuple):
    """A result that a tester posted. tester -- its name; empty: it signed with the shared secret"""

    event_time: datetime
    body: dict[str, object]
    tester: str


def results(
    network: Network, *, since: datetime, until: datetime, count: int
) -> Iterator[tuple[datetime, dict[str, object]]]:
    """`count` results from since to until, in time order: (event_time, body).

    Deterministic in the network and the arguments. A body has every member that the server stores, and the extra members
    of today's AI tester. Orchestrators join, leave and fail within since..until.

    since, until -- aware datetimes

    Raises ValueError as ResultPlan does.
    """
    plan = ResultPlan(since, until, count)
    for batch in range(plan.batches):
        for result in batch_results(network, plan, batch):
            yield result.event_time, result.body


def batch_results(network: Network, plan: ResultPlan, batch: int) -> Iterator[SimulatedResult]:
    """A batch of the results of a plan. Batches are in time order."""
    size = plan.size(batch)
    start, end = ((bound - plan.since) // _MICROSECOND for bound in plan.bounds(batch))
    testers = JobTesters(network, f"{plan.since.timestamp()}/{plan.until.timestamp()}/{plan.count}/{batch}")
    epoch = plan.since.timestamp()
    before = (plan.since - (plan.begin or plan.since)) // _MICROSECOND
    total = before + (plan.until - plan.since) // _MICROSECOND
    for offset in sorted(testers.offsets(start, end, size)):
        event_time = plan.since + offset * _MICROSECOND
        body = testers.run(epoch + offset / 1e6, (before + offset) / total if total else 1.0)
        yield SimulatedResult(event_time, body, testers.tester)
